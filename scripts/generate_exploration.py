"""Writes what to build for the MLPerf Tiny networks into docs/explore.md, from what `systolith explore --json` found."""

import argparse
import json
import shutil
from pathlib import Path

from systolith_boards.boards import BOARDS
from systolith_explore.model_errors import PAGE
from systolith_explore.presentation import describe
from systolith_sim.figures import Figures, publish
from systolith_spec.config import AcceleratorConfig

TARGETS = ("ulx3s-85f", "orangecrab-25f", "icebreaker")


def _speed(predicted: float, confirmed: dict | None) -> str:
    """Inferences a second: predicted / confirmed."""
    return f"{predicted:,.0f} / {confirmed['fps']:,.0f}" if confirmed and "fps" in confirmed else f"{predicted:,.0f}"


def _misfit(entry: dict) -> str:
    return f"{entry['name']}: {entry['misfit']}"


def _own(found: dict) -> dict:
    """The preset of the board."""
    return next(entry for entry in found["presets"] if entry["name"] == BOARDS[found["board"]].preset)


def _preset(found: dict) -> dict:
    """The preset of the board, or the best one that can be used where that cannot."""
    own = _own(found)
    return own if own["fps"] else max(found["presets"], key=lambda entry: entry["fps"]) if found["winner"] else own


def row(found: dict) -> list[str]:
    """One board: what to build, and how far the presets are from that."""
    board, confirmed, preset = BOARDS[found["board"]], found["confirmed"], _preset(found)
    if found["winner"] is None:
        return [board.title, f"nothing fits: {_misfit(found['least'])}", "", "", "", _misfit(preset), ""]
    best = found["winner"]
    measured, measured_preset = confirmed.get(best["name"]), confirmed.get(preset["name"])
    lut = measured["area"]["lut"] if measured else best["area"]["lut"]
    clock = f"{best['clock_mhz']:.0f}" + (f" / {measured['clock_mhz']:.0f}" if measured else "")
    factor = f"{best['fps'] / preset['fps']:.2f}"
    if measured and measured_preset and "fps" in measured_preset:
        factor += f" / {measured['fps'] / measured_preset['fps']:.2f}"
    return [board.title, describe(AcceleratorConfig(**best["configuration"])), f"{lut:,} ({lut / board.capacity['lut']:.0%})",
            clock, _speed(best["fps"], measured), f"{preset['name']}: {_speed(preset['fps'], measured_preset)}", factor]


def notes(found: dict) -> list[str]:
    """What was predicted to be better but not confirmed, or what the smallest consists of."""
    title = BOARDS[found["board"]].title
    if found["winner"] is None:
        parts = sorted(found["least_parts"].items(), key=lambda entry: -entry[1])
        return [f"{title}: LUT4s of the smallest by part: {', '.join(f'{name} {lut:,}' for name, lut in parts if lut >= 10)}."]
    own = _own(found)
    lines = [] if own["fps"] else [f"{title}: its own preset, {own['name']}, {own['misfit']}."]
    best = found["predicted"]
    if not found["confirmed"] or best["name"] == found["winner"]["name"]:
        return lines
    return [*lines, f"{title}: predicted only, too large to be confirmed in the time: {best['name']}, "
            f"{describe(AcceleratorConfig(**best['configuration']))}, {best['area']['lut']:,} LUT4, "
            f"{best['clock_mhz']:.0f} MHz, {best['fps']:,.0f} inferences a second."]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with BOARD.json and the pages in BOARD/ for each board")
    folder = parser.parse_args().folder
    results = [json.loads((folder / f"{name}.json").read_text()) for name in TARGETS]
    summary = ("Predicted, or predicted / confirmed by synthesis, place and route and a run of each network on the RTL; "
               "inferences a second are the geometric mean of ResNet-8, DS-CNN, MobileNetV1 0.25 and the autoencoder.")
    header = ["board", "what to build", "LUT4", "MHz", "inferences/s", "preset", "times the preset"]
    publish(Figures(name="boards", summary=summary, rows=[row(found) for found in results], header=header,
                    notes=[note for found in results for note in notes(found)]), page=PAGE)
    shutil.copyfile(folder / TARGETS[0] / "figures" / "00.svg", PAGE.parent / "figures" / "explore.svg")


if __name__ == "__main__":
    main()
