"""Compares the area and clock models with what was measured, and writes the tables of docs/explore.md."""

import json
from pathlib import Path

from systolith_explore.area_measure import load_data
from systolith_explore.area_model import CALIBRATION, RESOURCES, AreaModel, area_model
from systolith_explore.clock_model import CLOCK_DATA, clock_model
from systolith_sim.figures import Figures, publish
from systolith_spec.config import AcceleratorConfig

__all__ = ["PAGE", "area_errors", "clock_errors", "part_errors"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explore.md"
_NAMES = {"lut": "LUT4", "ff": "flip-flops", "dsp": "DSP", "bram": "block RAM"}


def _error(predicted: float, measured: float) -> str:
    return f"{predicted / measured - 1:+.1%}" if measured else "0"


def area_errors(model: AreaModel, data: dict) -> Figures:
    """Whole accelerators: predicted and measured."""
    rows, worst = [], {}
    for record in data["designs"]:
        config = AcceleratorConfig(**record["config"])
        prediction, known = model.predict(config), config.name in CALIBRATION
        cells = []
        for resource in RESOURCES:
            predicted, measured = getattr(prediction, resource), record["total"][resource]
            cells.append(f"{predicted:,} / {measured:,} ({_error(predicted, measured)})")
            if not known and measured:
                worst[resource] = max(worst.get(resource, 0.0), abs(predicted / measured - 1))
        rows.append([f"{config.rows} x {config.cols}, {config.vector_lanes} lanes", "yes" if known else "no", *cells])
    text = ", ".join(f"{_NAMES[resource]} {worst[resource]:.1%}" for resource in worst)
    summary = f"Largest error of designs that nothing was fitted to: {text}." if worst else (
        "No design but those of the factors has been measured.")
    return Figures(name="area errors", summary=summary, rows=rows,
                   header=["whole accelerator, ECP5", "sets factors",
                           *(f"{_NAMES[name]}: predicted / measured" for name in RESOURCES)])


def part_errors(data: dict) -> Figures:
    """Parts: largest error of a measured part when it is left out of the fit, and in the fit."""
    rows, everything = [], AreaModel(data)
    for part, records in data["parts"].items():
        cells = []
        for resource in ("lut", "ff"):
            inside = outside = 0.0
            for index, record in enumerate(records):
                if record[resource] < 50:
                    continue
                rest = {**data, "parts": {**data["parts"], part: records[:index] + records[index + 1:]}}
                config = AcceleratorConfig(**record["config"])
                inside = max(inside, abs(everything.part(part, resource, config) / record[resource] - 1))
                if len(records) > 2:
                    outside = max(outside, abs(AreaModel(rest).part(part, resource, config) / record[resource] - 1))
            cells += [f"{inside:.1%}", f"{outside:.1%}"]
        rows.append([f"`{part}`", len(records), *cells])
    return Figures(name="part errors", summary="Largest error of a part, in the fit and left out of it:", rows=rows,
                   header=["part", "points", "LUT4", "left out", "flip-flops", "left out"])


def clock_errors() -> Figures:
    """Routed designs: predicted and measured clock."""
    records = json.loads(CLOCK_DATA.read_text())
    rows = [[record["name"], f"{record['lut']:,}", f"{clock_model().predict(record['lut']):.1f}", f"{record['fmax_mhz']:.1f}",
             _error(clock_model().predict(record["lut"]), record["fmax_mhz"])] for record in records]
    return Figures(name="clock errors", summary=f"Stated error of the clock: {clock_model().error:.1%} "
                   f"({'left-out designs' if len(records) > 2 else 'spread of the designs'}).", rows=rows,
                   header=["routed, ECP5 speed grade 6", "LUT4", "predicted MHz", "measured MHz", "error"])


def main() -> None:
    data = load_data()
    for figures in (area_errors(area_model(), data), part_errors(data), clock_errors()):
        publish(figures, page=PAGE)


if __name__ == "__main__":
    main()
