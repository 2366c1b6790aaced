"""`systolith configs`: the presets."""

from rich.table import Table

from systolith_cli.errors import guarded
from systolith_cli.options import JsonOption
from systolith_cli.output import console, write_json
from systolith_spec.presets import PRESETS

__all__ = ["configs"]


@guarded
def configs(json: JsonOption = None) -> None:
    """List the presets."""
    table = Table(title="Presets")
    for column in ("name", "array", "activations", "weights", "accumulators", "lanes", "AXI", "multipliers"):
        table.add_column(column)
    for config in PRESETS.values():
        table.add_row(config.name, f"{config.rows}x{config.cols}", f"{config.activation_bytes >> 10} KiB",
                      f"{config.weight_bytes >> 10} KiB", f"2 x {config.accumulator_depth}", str(config.vector_lanes),
                      f"{config.axi_data_width} bit", config.multiplier_style)
    console(json).print(table)
    write_json(json, [config.as_dict() for config in PRESETS.values()])
