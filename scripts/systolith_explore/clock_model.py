"""Predicts the clock of a configuration from measured ones: the critical path grows with the LUTs, since wires do."""

import json
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np

__all__ = ["CLOCK_DATA", "ClockModel", "clock_model", "load_clock_data"]

CLOCK_DATA = Path(__file__).with_name("clock_data.json")
"""Routed designs, out of context on ECP5 speed grade 6: "name", "seed", "lut", "fmax_mhz" and "cpu_seconds" of the tools."""


def load_clock_data() -> list[dict]:
    """The committed measurements."""
    return json.loads(CLOCK_DATA.read_text())


class ClockModel:
    """Period = a + b LUT4, b not negative, fitted to the designs' mean periods.

    Parameters
    ----------
    records : list of dict
        As `load_clock_data` gives; those of one name are seeds of one design.

    Attributes
    ----------
    error : float
        Largest relative error for a measured design that the fit leaves out, neither the smallest nor the largest: outside of
        what was measured there is no stated error. With two designs, the spread of them.
    noise : float
        Largest relative difference of two seeds of one design; 0 if there is none with two.
    """

    def __init__(self, records: list[dict]):
        designs: dict[str, list[dict]] = {}
        for record in records:
            designs.setdefault(record["name"], []).append(record)
        points = [(float(np.mean([record["lut"] for record in group])),
                   float(np.mean([1000 / record["fmax_mhz"] for record in group]))) for group in designs.values()]
        self._fit = _line(points)
        points.sort()
        if len(points) > 2:
            left_out = ((_line(points[:index] + points[index + 1:]), points[index]) for index in range(1, len(points) - 1))
            self.error = max(abs(period / (constant + slope * lut) - 1) for (constant, slope), (lut, period) in left_out)
        else:
            self.error = max(period for _, period in points) / min(period for _, period in points) - 1
        self.noise = max((abs(one["fmax_mhz"] / other["fmax_mhz"] - 1) for group in designs.values()
                          for one, other in combinations(sorted(group, key=lambda record: record["fmax_mhz"]), 2)), default=0.0)

    def predict(self, lut: int) -> float:
        """Clock of a design of this many LUT4s, MHz."""
        constant, slope = self._fit
        return 1000 / (constant + slope * lut)


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Constant and slope through LUTs and periods."""
    luts, periods = map(np.array, zip(*points, strict=True))
    if len(set(luts)) > 1:
        slope, constant = np.polyfit(luts, periods, 1)
        if slope > 0:
            return float(constant), float(slope)
    return float(periods.mean()), 0.0


@cache
def clock_model() -> ClockModel:
    """The model of the committed measurements."""
    return ClockModel(load_clock_data())
