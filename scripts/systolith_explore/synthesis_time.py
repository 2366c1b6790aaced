"""Predicts how long synthesis, placement and routing of a configuration take, from measured runs."""

from functools import cache

import numpy as np

from systolith_explore.clock_model import load_clock_data

__all__ = ["SynthesisTime", "synthesis_time"]


class SynthesisTime:
    """Time = c LUT4^p, fitted to measured designs: processor time of all tools, which each keep one core busy.

    Parameters
    ----------
    records : list of dict
        "lut" and "cpu_seconds"; those without the latter are left out.

    Attributes
    ----------
    exponent : float
    """

    def __init__(self, records: list[dict]):
        timed = [record for record in records if record.get("cpu_seconds")]
        if len({record["lut"] for record in timed}) < 2:
            raise ValueError(f"Clock data must hold the time of two designs, not of {len(timed)}: make clock-data")
        sizes, minutes = (np.log([record[name] for record in timed]) for name in ("lut", "cpu_seconds"))
        self.exponent, self._constant = map(float, np.polyfit(sizes, minutes - np.log(60), 1))

    def minutes(self, lut: int) -> float:
        """For a design of this many LUT4s."""
        return float(np.exp(self._constant) * max(lut, 1) ** self.exponent)

    def most_luts(self, minutes: float) -> int:
        """LUT4s of the largest design that is done in this time."""
        return int((minutes / np.exp(self._constant)) ** (1 / self.exponent))


@cache
def synthesis_time() -> SynthesisTime:
    """The law of the committed measurements."""
    return SynthesisTime(load_clock_data())
