"""Confirms a candidate: synthesis for the board, and every network on the RTL."""

from collections.abc import Callable
from math import prod
from pathlib import Path

from systolith_boards.boards import Board
from systolith_boards.synthesis import SynthesisError
from systolith_cli.synth import synthesise_config
from systolith_compiler.tflite_reader import read_tflite
from systolith_explore.area_model import RESOURCES
from systolith_explore.search import Candidate, Exploration
from systolith_sim.inference import infer
from systolith_sim.samples import random_sample

__all__ = ["Confirmation", "confirm", "confirm_best"]

_TRIES = 3

Confirmation = dict
"""Measured figures: "area", "clock_mhz", "fps", "latency_ms" and for each network cycles and whether it was bit-exact; or
"misfit", the reason why synthesis failed."""


def confirm(candidate: Candidate, board: Board, models: list[Path], folder: Path,
            progress: Callable[[str], None]) -> Confirmation:
    """Synthesise a candidate and run the networks on its RTL."""
    name = candidate.config.name
    progress(f"{name}: synthesis")
    try:
        synthesis = synthesise_config(candidate.config, board.name, folder / name, 1,
                                      lambda what, fraction: progress(f"{name}: {what} ({fraction:.0%})"))
    except SynthesisError as error:
        return {"misfit": str(error)}
    networks = []
    for model in models:
        progress(f"{name}: {model.stem} on the RTL")
        graph = read_tflite(model)
        report = infer(graph, candidate.config, [random_sample(graph, 1)], model=model)
        networks.append({"model": graph.name, "cycles": report.cycles, "bit_exact": report.bit_exact})
    rates = [synthesis.fmax_mhz * 1e6 / entry["cycles"] for entry in networks]
    return {"area": {resource: getattr(synthesis, resource) for resource in RESOURCES}, "clock_mhz": synthesis.fmax_mhz,
            "networks": networks, "fps": prod(rates) ** (1 / len(rates)), "latency_ms": 1000 / min(rates)}


def _score(exploration: Exploration, result: Confirmation) -> float:
    """Larger is better; minus infinity for what cannot be a winner."""
    if "misfit" in result or not all(entry["bit_exact"] for entry in result["networks"]):
        return float("-inf")
    if exploration.objective == "area":
        return -result["area"]["lut"]
    return -result["latency_ms"] if exploration.objective == "latency" else result["fps"]


def confirm_best(exploration: Exploration, models: list[Path], folder: Path,
                 progress: Callable[[str], None]) -> dict[str, Confirmation]:
    """Confirm the best preset and the best candidates until one is at least as good as it; sets the winner.

    Returns
    -------
    dict
        `Confirmation` by name of the configuration.
    """
    usable = [entry for entry in exploration.finalists if entry.fps and entry.fps >= exploration.least_fps]
    rival = next((entry for entry in usable if entry.origin == "preset"), None)
    results: dict[str, Confirmation] = {}
    for entry in ([rival] if rival else []) + [entry for entry in usable if entry is not rival][:_TRIES]:
        results[entry.config.name] = confirm(entry, exploration.board, models, folder, progress)
        others = [_score(exploration, results[name]) for name in results if rival is None or name != rival.config.name]
        bar = _score(exploration, results[rival.config.name]) if rival else float("-inf")
        if others and max(others) >= bar and max(others) > float("-inf"):
            break
    names = [name for name in results if _score(exploration, results[name]) > float("-inf")]
    best = max(names, key=lambda name: _score(exploration, results[name]), default=None)
    exploration.winner = next((entry for entry in usable if entry.config.name == best), None)
    return results
