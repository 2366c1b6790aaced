"""Predicts the clock of a configuration from measured ones: the critical path grows with the logarithm of the LUTs."""

import json
from functools import cache
from math import log2
from pathlib import Path

import numpy as np

__all__ = ["CLOCK_DATA", "ClockModel", "clock_model"]

CLOCK_DATA = Path(__file__).with_name("clock_data.json")
"""Measured designs: "name", "lut" and "fmax_mhz" (after routing, ECP5 speed grade 6)."""


class ClockModel:
    """Period = a + b log2(LUT4), b not negative, fitted to measured designs.

    Attributes
    ----------
    error : float
        Largest relative error of a measured design that the fit leaves out; with less than three, the spread of them.
    """

    def __init__(self, records: list[dict]):
        self._fit = _line(records)
        errors = []
        if len(records) > 2:
            for index, record in enumerate(records):
                constant, slope = _line(records[:index] + records[index + 1:])
                errors.append(abs(1000 / (constant + slope * log2(record["lut"])) / record["fmax_mhz"] - 1))
        else:
            clocks = [record["fmax_mhz"] for record in records]
            errors.append(max(clocks) / min(clocks) - 1)
        self.error = max(errors)

    def predict(self, lut: int) -> float:
        """Clock of a design of this many LUT4s, MHz."""
        constant, slope = self._fit
        return 1000 / (constant + slope * log2(max(lut, 1000)))


def _line(records: list[dict]) -> tuple[float, float]:
    sizes = np.log2([record["lut"] for record in records])
    periods = np.array([1000 / record["fmax_mhz"] for record in records])
    if len(set(sizes)) > 1:
        slope, constant = np.polyfit(sizes, periods, 1)
        if slope > 0:
            return float(constant), float(slope)
    return float(periods.mean()), 0.0


@cache
def clock_model() -> ClockModel:
    """The model of the committed measurements."""
    return ClockModel(json.loads(CLOCK_DATA.read_text()))
