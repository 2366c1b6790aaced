"""Named configurations."""

from dataclasses import replace

from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["PRESETS", "preset"]

_KIB = 1024

_ALL = (
    # The smallest that is still useful: teaching, quick synthesis, FPGAs with a few thousand LUTs.
    AcceleratorConfig(
        name="tiny-4x4", rows=4, cols=4, activation_bytes=16 * _KIB, weight_bytes=8 * _KIB, parameter_bytes=2 * _KIB,
        accumulator_depth=128, vector_lanes=2, parameter_groups=8, axi_data_width=32, outstanding_reads=4,
        queue_commands=8),
    # 64 multipliers: ECP5-25F and up.
    AcceleratorConfig(
        name="small-8x8", rows=8, cols=8, activation_bytes=64 * _KIB, weight_bytes=32 * _KIB, parameter_bytes=4 * _KIB,
        accumulator_depth=256, vector_lanes=8, parameter_groups=8, axi_data_width=64),
    # 256 multipliers: every MLPerf Tiny network stays on chip.
    AcceleratorConfig(
        name="base-16x16", rows=16, cols=16, activation_bytes=128 * _KIB, weight_bytes=64 * _KIB,
        parameter_bytes=8 * _KIB, accumulator_depth=512, vector_lanes=16, parameter_groups=8, axi_data_width=128),
)

PRESETS: dict[str, AcceleratorConfig] = {config.name: config for config in _ALL}
# One per board: the preset that fits it, with the multipliers of its family.
PRESETS["ulx3s-85f"] = replace(PRESETS["small-8x8"], name="ulx3s-85f", multiplier_style="ecp5")


def preset(name: str) -> AcceleratorConfig:
    """Return the preset with this name.

    Raises
    ------
    ConfigurationError
        No such preset; the message lists those there are.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"Configuration must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name]
