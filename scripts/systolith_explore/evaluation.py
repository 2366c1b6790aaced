"""Cycles of networks on a configuration, predicted, and kept on disk by what they depend on."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import systolith_compiler
import systolith_golden
import systolith_spec
from systolith_compiler.compiler import compile_graph
from systolith_compiler.graph import Graph, ModelError
from systolith_compiler.tflite_reader import read_tflite
from systolith_golden.explanation import explain
from systolith_sim.cache import build_once, digest
from systolith_sim.prediction import predict_image
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["NetworkCycles", "evaluate", "needed_units", "operator_mix", "workload_key"]

LATENCY = 20


@dataclass(frozen=True)
class NetworkCycles:
    """One network on one configuration: predicted cycles of an inference, and operators left to the host.

    `cycles` is None when the network cannot be compiled for the configuration.
    """

    model: str
    cycles: int | None
    host_ops: int = 0
    memory_bytes: int = 0


@cache
def _graph(path: str) -> Graph:
    return read_tflite(Path(path))


@cache
def _model_bytes(path: str) -> bytes:
    return Path(path).read_bytes()


@cache
def _code() -> str:
    """Hash of everything that decides about cycles."""
    files = sorted(path for package in (systolith_compiler, systolith_golden, systolith_spec)
                   for path in Path(package.__path__[0]).glob("*.py"))
    return digest(*(path.read_bytes() for path in files))


def workload_key(models: tuple[str, ...]) -> str:
    """Hash of networks and of everything else that decides about cycles."""
    return digest(_code(), *map(_model_bytes, models))


def evaluate(config: AcceleratorConfig, models: tuple[str, ...], search: bool = False) -> list[NetworkCycles]:
    """Cycles of each network.

    Parameters
    ----------
    config : AcceleratorConfig
    models : tuple of str
        Paths of .tflite files.
    search : bool
        Compile as `systolith run` does; else quickly, a few percent slower programs.
    """
    plain = replace(config, name="explored", multiplier_style="generic", dsp_budget=4096)
    results = []
    for path in models:
        key = digest(_code(), _model_bytes(path), repr(plain), search, LATENCY)
        folder, _ = build_once("explore", key, lambda folder, path=path: (folder / "cycles.json").write_text(
            json.dumps(_cycles(plain, path, search))))
        results.append(NetworkCycles(Path(path).stem, *json.loads((folder / "cycles.json").read_text())))
    return results


def _cycles(config: AcceleratorConfig, path: str, search: bool) -> tuple[int | None, int, int]:
    try:
        image = compile_graph(_graph(path), config, search=search)
    except ModelError:
        return None, 0, 0
    cycles = sum(run.total for run in predict_image(image, LATENCY))
    return cycles, sum(layer.host for layer in image.layers), image.memory.size


def needed_units(models: tuple[str, ...]) -> dict[str, bool]:
    """Optional units without which operators of these networks would run on the host."""
    whole = preset("small-8x8")
    least = [entry.host_ops for entry in evaluate(whole, models)]
    choices = ({"residual_add": False, "pooling": False, "softmax": False},
               {"residual_add": False, "pooling": True, "softmax": False},
               {"residual_add": True, "pooling": True, "softmax": False},
               {"residual_add": False, "pooling": True, "softmax": True})
    for units in choices:
        entries = evaluate(replace(whole, **units), models)
        if all(entry.cycles is not None for entry in entries) and [entry.host_ops for entry in entries] == least:
            return units
    return {"residual_add": True, "pooling": True, "softmax": True}


def operator_mix(config: AcceleratorConfig, models: tuple[str, ...]) -> list[dict]:
    """For each network and kind of layer the share of multiplications and of cycles, and what sets the pace.

    Returns
    -------
    list of dict
        "model", "op", "layers", "macs" and "cycles" (shares of the network), "bound" (by most of the cycles).
    """
    rows = []
    for path in models:
        image = compile_graph(_graph(path), config, search=False)
        macs = {layer.index: layer.macs for layer in image.layers}
        entries = [entry for step in image.steps if step.program is not None for entry in explain(
            config, image.commands(step), macs, LATENCY, program_offset=step.program,
            program_limit=image.writable)]
        kinds: dict[str, list] = {}
        for entry in entries:
            kinds.setdefault(image.layers[entry.layer].op, []).append(entry)
        work, time = max(1, sum(macs.values())), max(1, sum(entry.cycles for entry in entries))
        for kind, members in kinds.items():
            bounds = Counter()
            for entry in members:
                bounds[entry.bound] += entry.cycles
            rows.append({"model": Path(path).stem, "op": kind, "layers": len(members),
                         "macs": sum(entry.macs for entry in members) / work,
                         "cycles": sum(entry.cycles for entry in members) / time, "bound": bounds.most_common(1)[0][0]})
    return rows
