"""Measures what the area model is fitted to: synthesises the parts of accelerators, and whole ones, for ECP5.

``python -m systolith_explore.area_measure`` measures what `area_data.json` lacks or what today's Verilog differs from, one
thing after the other, and keeps each at once, so it can be interrupted. `make area-data` does all of it.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from amaranth.lib.wiring import Component

from systolith.accelerator import Accelerator
from systolith.activation_buffer import ActivationBuffer
from systolith.axi_read_arbiter import AxiReadArbiter
from systolith.command_processor import CommandProcessor
from systolith.compute_engine import ComputeEngine
from systolith.load_engine import LoadEngine
from systolith.parameter_buffer import ParameterBuffer
from systolith.store_engine import StoreEngine
from systolith.vector_engine import VectorEngine
from systolith.verilog import to_verilog
from systolith.weight_buffer import WeightBuffer
from systolith_boards.hierarchy import Resources
from systolith_boards.synthesis import SynthesisError, measure_area
from systolith_cli.synth import synthesise_config
from systolith_explore.space import build_config
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import preset

__all__ = ["DATA", "PARTS", "design_points", "load_data"]

DATA = Path(__file__).with_name("area_data.json")
"""Measurements: "parts" by name of the part and "designs", each a list of records."""
PARTS: dict[str, type[Component]] = {
    "processor": CommandProcessor, "arbiter": AxiReadArbiter, "load": LoadEngine, "store": StoreEngine,
    "activation_buffer": ActivationBuffer, "weight_buffer": WeightBuffer, "parameter_buffer": ParameterBuffer,
    "compute": ComputeEngine, "vector": VectorEngine,
}
"""Instances of the accelerator's top level, which are measured one by one."""
_BASE = {"rows": 4, "cols": 4, "lane_share": 2, "activation_kib": 16, "weight_kib": 8, "accumulator_depth": 128,
         "axi_data_width": 32, "depthwise_streams": 1}
_LARGE = {"rows": 8, "cols": 8, "lane_share": 1, "activation_kib": 64, "weight_kib": 32, "accumulator_depth": 256,
          "axi_data_width": 64, "depthwise_streams": 2}
_WIDE = {"rows": 12, "cols": 12, "lane_share": 1, "activation_kib": 128, "weight_kib": 64, "accumulator_depth": 512,
         "axi_data_width": 128, "depthwise_streams": 3}
# What a part depends on differs between its points; the rest of the configuration does not matter to it.
_POINTS: dict[str, tuple[dict, ...]] = {
    "vector": (_BASE, {**_BASE, "lane_share": 4}, {**_BASE, "lane_share": 4, "units": (0, 0, 0)},
               {**_BASE, "units": (0, 1, 0)}, {**_BASE, "units": (1, 1, 0)}),
    "compute": (_BASE, {**_BASE, "dsp_budget": 0}, {**_BASE, "depthwise_streams": 0}, {**_BASE, "rows": 8},
                {**_BASE, "cols": 8}),
    "activation_buffer": (_BASE, _LARGE, _WIDE),
    "weight_buffer": (_BASE, _LARGE, _WIDE),
    "parameter_buffer": (_BASE, _LARGE),
    "load": (_BASE, _LARGE, _WIDE),
    "store": (_BASE, _LARGE, _WIDE),
    "arbiter": (_BASE, _LARGE),
    "processor": (_BASE, {**_BASE, "counters": 0}),
}
# Whole accelerators: the presets are part of the fit, the others are only predicted.
_DESIGNS = ("tiny-4x4", "small-8x8", "orangecrab-25f",
            {**_WIDE, "lane_share": 3},
            {**_WIDE, "rows": 8, "cols": 16, "lane_share": 4, "activation_kib": 64, "weight_kib": 32, "depthwise_streams": 2},
            {**_BASE, "rows": 6, "cols": 6, "depthwise_streams": 2},
            {**_BASE, "rows": 8, "cols": 4, "lane_share": 4, "units": (0, 1, 1)},
            {**_WIDE, "rows": 16, "cols": 16, "lane_share": 2, "dsp_budget": 96})


def load_data() -> dict:
    """The committed measurements."""
    return json.loads(DATA.read_text()) if DATA.is_file() else {"parts": {name: [] for name in PARTS}, "designs": []}


def _config(point: str | dict) -> AcceleratorConfig:
    if isinstance(point, str):
        return replace(preset(point), multiplier_style="ecp5")
    choice = dict(point)
    residual, pooling, softmax = choice.pop("units", (1, 1, 1))
    counters = choice.pop("counters", 1)
    name = "-".join(map(str, choice.values())) + f"-{residual}{pooling}{softmax}{counters}"
    config = build_config(name, choice, residual_add=bool(residual), pooling=bool(pooling), softmax=bool(softmax))
    return replace(config, multiplier_style="ecp5", engine_counters=bool(counters), dsp_budget=choice.get("dsp_budget", 4096))


def design_points() -> Iterator[tuple[str, AcceleratorConfig]]:
    """Everything to measure: the name of a part, or "" for a whole accelerator, and a configuration."""
    yield from ((part, _config(point)) for part, points in _POINTS.items() for point in points)
    yield from (("", _config(point)) for point in _DESIGNS)


def _text(part: str, config: AcceleratorConfig) -> str:
    return to_verilog(PARTS[part](config=config) if part else Accelerator(config=config), part or "systolith")


def _measure(text: str, top: str) -> dict[str, dict[str, int]]:
    """lut, ff, dsp, bram by instance of the top level, "" for what is in none, and of the whole."""
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        resources = measure_area(text, top, Path(folder))
    sums: dict[str, Resources] = {}
    for path, own in resources.items():
        name = path.partition(".")[0]
        sums[name] = sums.get(name, Resources()) + own
    return {"total": asdict(sum(sums.values(), Resources())), "modules": {name: asdict(sums[name]) for name in sorted(sums)}}


def _kept(config: AcceleratorConfig) -> dict | None:
    """What `systolith synth` found and keeps, as `_measure` gives it."""
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        try:
            report = synthesise_config(config, "ulx3s-85f", Path(folder), 1, lambda what, fraction: None, cached_only=True)
        except SynthesisError:
            return None
    rows = {row.pop("module"): row for row in report.hierarchy}
    return {"total": rows["systolith"], "modules": {part: rows[part] for part in PARTS}}


def _write(data: dict) -> None:
    """One record a line."""
    parts = ",\n".join(f'  "{name}": [\n' + ",\n".join("   " + json.dumps(record) for record in records) + "\n  ]"
                       for name, records in data["parts"].items())
    designs = ",\n".join("  " + json.dumps(record) for record in data["designs"])
    DATA.write_text(f'{{\n "parts": {{\n{parts}\n }},\n "designs": [\n{designs}\n ]\n}}\n')


def _record(part: str, config: AcceleratorConfig) -> None:
    """Measure a point unless its record is of today's Verilog."""
    text = _text(part, config)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    data = load_data()
    records = data["parts"][part] if part else data["designs"]
    if any(record["config"]["name"] == config.name and record["verilog"] == digest for record in records):
        return
    begin = time.monotonic()
    measured = (None if part else _kept(config)) or _measure(text, part or "systolith")
    data = load_data()  # another process may have added something
    records = data["parts"][part] if part else data["designs"]
    _replace(records, {"config": config.as_dict(), "verilog": digest, **(measured["total"] if part else measured)})
    _write(data)
    print(f"{part or 'whole'} {config.name}: {measured['total']}, {time.monotonic() - begin:.0f} s", flush=True)


def _replace(records: list[dict], record: dict) -> None:
    """Put a record in place of that of the same configuration."""
    records[:] = [other for other in records if other["config"]["name"] != record["config"]["name"]] + [record]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after this time")
    parser.add_argument("--parts", action="store_true", help="no whole accelerators")
    arguments = parser.parse_args()
    begin = time.monotonic()
    for part, config in design_points():
        if time.monotonic() - begin < arguments.seconds and (part or not arguments.parts):
            _record(part, config)


if __name__ == "__main__":
    main()
