"""Explores three boards for the MLPerf Tiny networks, and writes what to build into docs/explore.md."""

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from systolith_boards.boards import BOARDS
from systolith_explore.model_errors import PAGE
from systolith_explore.presentation import describe, pareto_chart
from systolith_explore.search import Exploration, explore
from systolith_sim.figures import Figures, publish
from systolith_sim.models import model_path

NETWORKS = ("pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "ad01_int8")
TARGETS = ("ulx3s-85f", "orangecrab-25f", "icebreaker")


def row(found: Exploration) -> list[str]:
    """One board: what to build, and how far its preset is from that."""
    preset = next(entry for entry in found.presets if entry.config.name == found.board.preset)
    preset_text = f"{preset.fps:,.0f} ({preset.area['lut']:,} LUT4)" if preset.fps else preset.misfit
    if found.winner is None:
        least = min(found.candidates, key=lambda entry: entry.area["lut"])
        return [found.board.title, f"nothing fits: the smallest {least.misfit}", "", "", "", preset_text, ""]
    best = found.winner
    factor = f"{best.fps / preset.fps:.2f}" if preset.fps else ""
    return [found.board.title, describe(best), f"{best.area['lut']:,} ({best.area['lut'] / found.board.capacity['lut']:.0%})",
            f"{best.clock_mhz:.0f}", f"{best.fps:,.0f}", preset_text, factor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(arguments.jobs) as executor, tempfile.TemporaryDirectory() as folder:
        for name in TARGETS:
            found = explore([model_path(network) for network in NETWORKS], BOARDS[name], executor, budget=arguments.budget,
                            journal=Path(folder) / "journal")
            rows.append(row(found))
            if name == TARGETS[0]:
                (PAGE.parent / "figures" / "explore.svg").write_text(f"{pareto_chart(found)}\n")
    summary = (f"Predicted, {arguments.budget} proposals for each board; inferences a second are the geometric mean of "
               "ResNet-8, DS-CNN, MobileNetV1 0.25 and the autoencoder.")
    header = ["board", "what to build", "LUT4", "MHz", "inferences/s", "its preset", "times the preset"]
    publish(Figures(name="boards", summary=summary, rows=rows, header=header), page=PAGE)


if __name__ == "__main__":
    main()
