"""Compares the area and clock models with what was measured, and writes the tables of docs/explore.md."""

from pathlib import Path

from systolith_explore.area_measure import PARTS, load_data
from systolith_explore.area_model import CALIBRATION, RESOURCES, AreaModel, area_model
from systolith_explore.clock_model import clock_model, load_clock_data
from systolith_explore.synthesis_time import synthesis_time
from systolith_sim.figures import Figures, publish
from systolith_spec.config import AcceleratorConfig

__all__ = ["PAGE", "area_errors", "clock_errors", "part_errors"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explore.md"
_LEAST = 50  # LUTs or flip-flops: errors of less say nothing
_NAMES = {"lut": "LUT4", "ff": "flip-flops", "dsp": "DSP", "bram": "block RAM"}


def _error(predicted: float, measured: float) -> str:
    return f"{predicted / measured - 1:+.1%}" if measured else "0"


def area_errors(model: AreaModel, data: dict) -> Figures:
    """Whole accelerators: predicted and measured."""
    rows, worst = [], {}
    for record in data["designs"]:
        config = AcceleratorConfig(**record["config"])
        lanes = f"{config.vector_lanes} lane{'s' if config.vector_lanes > 1 else ''}"
        prediction, known = model.predict(config), config.name in CALIBRATION
        cells = []
        for resource in RESOURCES:
            predicted, measured = getattr(prediction, resource), record["total"][resource]
            cells.append(f"{predicted:,} / {measured:,} ({_error(predicted, measured)})")
            if not known and measured:
                worst[resource] = max(worst.get(resource, 0.0), abs(predicted / measured - 1))
        rows.append([f"{config.rows} x {config.cols}, {lanes}", "yes" if known else "no", *cells])
    text = ", ".join(f"{_NAMES[resource]} {worst[resource]:.1%}" for resource in worst)
    summary = f"Largest error of designs that nothing was fitted to: {text}." if worst else (
        "No design but those in the fit has been measured.")
    return Figures(name="area errors", summary=summary, rows=rows,
                   header=["whole accelerator, ECP5", "in the fit",
                           *(f"{_NAMES[name]}: predicted / measured" for name in RESOURCES)])


def part_errors(data: dict) -> Figures:
    """Parts within whole accelerators: largest error in the fit and outside of it."""
    rows, model = [], AreaModel(data)
    for part in PARTS:
        cells = []
        for resource in ("lut", "ff"):
            for known in (True, False):
                errors = [abs(model.part(part, resource, AcceleratorConfig(**record["config"])) / measured - 1)
                          for record in data["designs"] if (record["config"]["name"] in CALIBRATION) == known
                          and (measured := record["modules"][part][resource]) >= _LEAST]
                cells.append(f"{max(errors):.1%}" if errors else "")
        rows.append([f"`{part}`", *cells])
    summary = f"Largest error of a part of {_LEAST} or more within these accelerators:"
    return Figures(name="part errors", summary=summary, rows=rows,
                   header=["part", "LUT4, in the fit", "LUT4, not in it", "flip-flops, in the fit", "flip-flops, not in it"])


def clock_errors() -> Figures:
    """Routed designs: predicted and measured clock, and time of the tools."""
    records, model, law = load_clock_data(), clock_model(), synthesis_time()
    rows = []
    for record in records:
        time = record.get("cpu_seconds")
        rows.append([
            record["name"], str(record["seed"]), f"{record['lut']:,}", f"{model.predict(record['lut']):.1f}",
            f"{record['fmax_mhz']:.1f}",
            _error(model.predict(record["lut"]), record["fmax_mhz"]), f"{law.minutes(record['lut']):.0f}",
            f"{time / 60:.0f}" if time else ""])
    how = "each but the ends left out in turn" if len({record["name"] for record in records}) > 2 else "spread of the designs"
    noise = f"seeds of one design differ by up to {model.noise:.1%}; " if model.noise else ""
    summary = (f"Stated error of the clock: {model.error:.1%} ({how}); {noise}time of the tools grows as "
               f"LUT4^{law.exponent:.1f}.")
    return Figures(name="clock errors", summary=summary, rows=rows,
                   header=["routed, ECP5 speed grade 6", "seed", "LUT4", "predicted MHz", "measured MHz", "error",
                           "predicted minutes", "measured minutes"])


def main() -> None:
    data = load_data()
    for figures in (area_errors(area_model(), data), part_errors(data), clock_errors()):
        publish(figures, page=PAGE)


if __name__ == "__main__":
    main()
