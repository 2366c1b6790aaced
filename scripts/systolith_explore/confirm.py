"""Confirms a candidate: synthesis for the board, and every network on the RTL."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

from systolith_boards.boards import Board
from systolith_boards.synthesis import SynthesisError
from systolith_cli.synth import synthesise_config
from systolith_compiler.tflite_reader import read_tflite
from systolith_explore.area_model import RESOURCES
from systolith_explore.search import Candidate, Exploration
from systolith_explore.synthesis_time import synthesis_time
from systolith_sim.inference import infer
from systolith_sim.samples import random_sample

__all__ = ["Confirmation", "confirm", "confirm_best"]

_TRIES = 3
_LEAST = -1e300  # worse than any score but that of what cannot win

Confirmation = dict
"""Measured figures: "area", "clock_mhz", "fps", "latency_ms", "cpu_minutes" (of synthesis, placement and routing, when they
ran), and for each network cycles and whether it was bit-exact; or "misfit", the reason why synthesis failed."""


def confirm(candidate: Candidate, board: Board, models: list[Path], folder: Path,
            progress: Callable[[str], None]) -> Confirmation:
    """Synthesise a candidate, in the quick way that its predictions are made for, and run the networks on its RTL."""
    name = candidate.config.name
    progress(f"{name}: synthesis")
    try:
        synthesis = synthesise_config(candidate.config, board.name, folder / name, 1,
                                      lambda what, fraction: progress(f"{name}: {what} ({fraction:.0%})"), quick=True)
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
            "cpu_minutes": round(sum(used["cpu_seconds"] for used in synthesis.usage.values()) / 60, 1),
            "networks": networks, "fps": prod(rates) ** (1 / len(rates)), "latency_ms": 1000 / min(rates)}


def _score(exploration: Exploration, result: Confirmation, least_fps: float) -> float:
    """Larger is better; minus infinity for what cannot be a winner."""
    if "misfit" in result or not all(entry["bit_exact"] for entry in result["networks"]) or result["fps"] < least_fps:
        return float("-inf")
    if exploration.objective == "area":
        return -result["area"]["lut"]
    return -result["latency_ms"] if exploration.objective == "latency" else result["fps"]


def confirm_best(exploration: Exploration, models: list[Path], folder: Path, progress: Callable[[str], None],
                 minutes: float = float("inf"), jobs: int = 1) -> dict[str, Confirmation]:
    """Confirm the best preset and the best candidates until one is at least as good as it; sets the winner.

    Parameters
    ----------
    exploration : Exploration
    models : list of Path
    folder : Path
        Takes the results of synthesis.
    progress : callable
        Called with what is being done, from any thread.
    minutes : float
        For all of it; what takes longer to place and route, by `SynthesisTime`, is not begun.
    jobs : int
        How many are confirmed side by side.

    Returns
    -------
    dict
        `Confirmation` by name of the configuration.
    """
    begin = time.monotonic()
    law = synthesis_time()
    usable = [entry for entry in exploration.usable if law.minutes(entry.area["lut"]) <= minutes]
    rival = next((entry for entry in usable if entry.origin == "preset"), None)
    waiting = [entry for entry in usable if entry is not rival][:_TRIES]
    results: dict[str, Confirmation] = {}

    def together(entries: list[Candidate]) -> None:
        with ThreadPoolExecutor(jobs) as pool:
            measured = pool.map(lambda entry: confirm(entry, exploration.board, models, folder, progress), entries)
            results.update(zip((entry.config.name for entry in entries), measured, strict=True))

    def scores() -> dict[str, float]:
        # The speed that objective "area" asks for is that of the preset, as measured if that is less than predicted.
        least_fps = min(exploration.least_fps, results.get(rival.config.name, {}).get("fps", float("inf"))) if rival else (
            exploration.least_fps)
        return {name: _score(exploration, result, least_fps) for name, result in results.items()}

    together([*([rival] if rival else []), *waiting[:1]])
    for entry in waiting[1:]:
        found = scores()
        bar = found.pop(rival.config.name) if rival else float("-inf")
        left = minutes - (time.monotonic() - begin) / 60
        if max(found.values(), default=float("-inf")) >= max(bar, _LEAST) or law.minutes(entry.area["lut"]) > left:
            break
        together([entry])
    fit = {name: score for name, score in scores().items() if score > float("-inf")}
    best = max(fit, key=fit.get, default=None)
    exploration.winner = next((entry for entry in usable if entry.config.name == best), None)
    return results
