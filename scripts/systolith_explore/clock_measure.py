"""Measures what the clock model is fitted to: routes whole accelerators out of context on ECP5, speed grade 6.

``python -m systolith_explore.clock_measure [CONFIG...]`` routes configurations (presets or JSON files) and puts each seed into
`clock_data.json`; results that are kept from earlier runs take no time. `make clock-data` does those of `DESIGNS`.
"""

import argparse
import json
import tempfile
from pathlib import Path

from systolith_cli.configuration import find_config
from systolith_cli.synth import synthesise_config
from systolith_explore.clock_model import CLOCK_DATA, load_clock_data
from systolith_spec.config import AcceleratorConfig

__all__ = ["DESIGNS", "clock_record"]

DESIGNS = ("tiny-4x4", "small-8x8")


def clock_record(config: AcceleratorConfig, seed: int, folder: Path) -> dict:
    """Route a configuration; its entry of the clock data."""
    report = synthesise_config(config, "ulx3s-85f", folder, seed,
                               lambda what, fraction: print(f"{config.name} seed {seed}: {what} ({fraction:.0%})", end="\r"),
                               quick=True)
    return {"name": config.name, "seed": seed, "lut": report.lut, "fmax_mhz": report.fmax_mhz,
            "cpu_seconds": round(sum(used["cpu_seconds"] for used in report.usage.values()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=DESIGNS, metavar="CONFIG")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    for text in arguments.configs:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                record = clock_record(find_config(text), seed, Path(folder))
            records = [other for other in load_clock_data() if (other["name"], other["seed"]) != (record["name"], seed)]
            CLOCK_DATA.write_text("[\n" + ",\n".join(f" {json.dumps(entry)}" for entry in [*records, record]) + "\n]\n")
            print(record, flush=True)


if __name__ == "__main__":
    main()
