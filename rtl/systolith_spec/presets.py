"""Named configurations."""

import re
from dataclasses import replace

from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["PRESETS", "geometry", "preset"]

_KIB = 1024


def _streams(rows: int) -> int:
    """Kernel rows at once: three for a 3x3 kernel where the rows suffice."""
    return 3 if rows >= 9 else 2 if rows >= 6 else 1


_ALL = (
    # As little as runs a convolution network (softmax on the host): FPGAs of 8,000 LUTs, Tang Nano 9K.
    AcceleratorConfig(
        name="nano-4x4", rows=4, cols=4, activation_bytes=16 * _KIB, weight_bytes=8 * _KIB, parameter_bytes=2 * _KIB,
        accumulator_depth=64, vector_lanes=1, parameter_groups=8, axi_data_width=32, outstanding_reads=2,
        queue_commands=4, residual_add=False, softmax=False, engine_counters=False),
    # The smallest that is still useful: teaching, quick synthesis, FPGAs with a few thousand LUTs.
    AcceleratorConfig(
        name="tiny-4x4", rows=4, cols=4, activation_bytes=16 * _KIB, weight_bytes=8 * _KIB, parameter_bytes=2 * _KIB,
        accumulator_depth=128, vector_lanes=2, parameter_groups=8, axi_data_width=32, outstanding_reads=4,
        queue_commands=8, depthwise_streams=1),
    # 64 multipliers: ECP5-25F and up.
    AcceleratorConfig(
        name="small-8x8", rows=8, cols=8, activation_bytes=64 * _KIB, weight_bytes=32 * _KIB, parameter_bytes=4 * _KIB,
        accumulator_depth=256, vector_lanes=8, parameter_groups=8, axi_data_width=64, depthwise_streams=2),
    # 256 multipliers: every MLPerf Tiny network stays on chip.
    AcceleratorConfig(
        name="base-16x16", rows=16, cols=16, activation_bytes=128 * _KIB, weight_bytes=64 * _KIB,
        parameter_bytes=8 * _KIB, accumulator_depth=512, vector_lanes=16, parameter_groups=8, axi_data_width=128,
        depthwise_streams=3),
)

PRESETS: dict[str, AcceleratorConfig] = {config.name: config for config in _ALL}
# For boards, with the multipliers of their families: one that fits for each, with its name.
# The largest array that is of use there, for a main memory outside of the FPGA: half the lanes of `base-16x16`, 104 of the
# array's multipliers and 49 others in DSP blocks, the rest of the array in LUTs.
PRESETS["ulx3s-16x16"] = replace(
    PRESETS["base-16x16"], name="ulx3s-16x16", vector_lanes=8, dsp_budget=104, multiplier_style="ecp5")
# The same with half the buffers, which leave 192 KiB of block RAM to main memory; ResNet-8 takes as many cycles.
PRESETS["ulx3s-85f"] = replace(
    PRESETS["ulx3s-16x16"], name="ulx3s-85f", activation_bytes=64 * _KIB, weight_bytes=32 * _KIB, parameter_bytes=4 * _KIB)
# 28 multipliers: the array takes 16, a lane of the vector unit 6 or 7.
PRESETS["orangecrab-25f"] = replace(PRESETS["tiny-4x4"], name="orangecrab-25f", vector_lanes=1, multiplier_style="ecp5")
# As little logic as runs a convolution network, on one command at a time: FPGAs of 5,000 to 9,000 LUTs.
PRESETS["serial-4x4"] = replace(
    PRESETS["nano-4x4"], name="serial-4x4", control="serial", activation_bytes=4 * _KIB, activation_banks=1,
    weight_bytes=2 * _KIB, parameter_bytes=_KIB)
PRESETS["tang-nano-9k"] = replace(PRESETS["serial-4x4"], name="tang-nano-9k", activation_bytes=8 * _KIB, weight_bytes=4 * _KIB)
PRESETS["tang-primer-20k"] = replace(
    PRESETS["serial-4x4"], name="tang-primer-20k", rows=8, cols=8, activation_bytes=16 * _KIB, weight_bytes=8 * _KIB,
    accumulator_depth=128)
# An SPRAM for activations leaves the block RAM to accumulators, of which few commands come: keyword spotting takes 92 KB.
PRESETS["icebreaker"] = replace(
    PRESETS["serial-4x4"], name="icebreaker", activation_bytes=32 * _KIB, activation_ports=1, weight_bytes=_KIB,
    accumulator_depth=128)


def geometry(rows: int, cols: int) -> AcceleratorConfig:
    """A configuration for an array of any shape, with buffers and bus to match.

    Parameters
    ----------
    rows, cols : int
        Array geometry.

    Raises
    ------
    ConfigurationError
        The geometry cannot work.
    """
    # KiB of activations, weights and parameters, and accumulator entries, for below 128, below 1024 and more multipliers.
    elements = rows * cols
    activation, weight, parameter, depth = (
        (64, 32, 8, 256) if elements < 128 else (128, 64, 8, 512) if elements < 1024 else (1024, 512, 32, 1024))
    return AcceleratorConfig(
        name=f"{rows}x{cols}", rows=rows, cols=cols, activation_bytes=activation * _KIB, weight_bytes=weight * _KIB,
        parameter_bytes=parameter * _KIB, accumulator_depth=depth, vector_lanes=cols, parameter_groups=8,
        axi_data_width=32 if cols <= 4 else 64 if cols <= 8 else 128, depthwise_streams=_streams(rows))


def preset(name: str) -> AcceleratorConfig:
    """Return the preset with this name, or a configuration for a geometry written ROWSxCOLS.

    Raises
    ------
    ConfigurationError
        No such preset (the message lists those there are), or a geometry that cannot work.
    """
    if name in PRESETS:
        return PRESETS[name]
    if shape := re.fullmatch(r"(\d{1,4})x(\d{1,4})", name):
        return geometry(int(shape[1]), int(shape[2]))
    raise ConfigurationError(
        f"Configuration must be one of {', '.join(PRESETS)}, or ROWSxCOLS such as 12x6, not {name!r}")
