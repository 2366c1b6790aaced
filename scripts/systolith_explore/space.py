"""The configurations that exploration considers: choices of each parameter, and what follows from them."""

from collections.abc import Iterator
from dataclasses import replace

from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["CHOICES", "build_config", "choice_of", "neighbours"]

_KIB = 1024

CHOICES: dict[str, tuple] = {
    "rows": (4, 6, 8, 9, 10, 12, 14, 16),
    "cols": (4, 6, 8, 10, 12, 14, 16),
    "lane_share": (1, 2, 4, 8),
    "activation_kib": (8, 16, 32, 64, 128, 256),
    "weight_kib": (4, 8, 16, 32, 64),
    "accumulator_depth": (64, 128, 256, 512),
    "axi_data_width": (32, 64, 128),
    "depthwise_streams": (0, 1, 2, 3),
}
"""Values of each parameter. `lane_share`: columns for each lane of the vector unit, rounded to a divisor of cols."""


def build_config(name: str, choice: dict, *, residual_add: bool = True, pooling: bool = True,
                 softmax: bool = True) -> AcceleratorConfig:
    """The configuration for a choice of values.

    Parameters
    ----------
    name : str
    choice : dict
        A value for each key of `CHOICES`.
    residual_add, pooling, softmax : bool
        Units that the networks need.

    Raises
    ------
    ConfigurationError
        The values do not go together.
    """
    cols = choice["cols"]
    lanes = max((lanes for lanes in range(1, cols + 1) if cols % lanes == 0 and lanes * choice["lane_share"] <= cols),
                default=1)
    groups = max(8, 1 << (cols // lanes - 1).bit_length())
    small = choice["rows"] * cols <= 16
    return AcceleratorConfig(
        name=name, rows=choice["rows"], cols=cols, activation_bytes=choice["activation_kib"] * _KIB,
        weight_bytes=choice["weight_kib"] * _KIB, parameter_bytes=(2 if small else 4) * _KIB,
        accumulator_depth=choice["accumulator_depth"], vector_lanes=lanes, parameter_groups=groups,
        axi_data_width=choice["axi_data_width"], outstanding_reads=4 if small else 8, queue_commands=8 if small else 16,
        depthwise_streams=min(choice["depthwise_streams"], choice["rows"] // 2),
        residual_add=residual_add and pooling, pooling=pooling, softmax=softmax and pooling)


def choice_of(config: AcceleratorConfig) -> dict[str, int]:
    """The values that describe a configuration, for any that `build_config` or a preset gives."""
    return {"rows": config.rows, "cols": config.cols, "lane_share": config.cols // config.vector_lanes,
            "activation_kib": config.activation_bytes // _KIB, "weight_kib": config.weight_bytes // _KIB,
            "accumulator_depth": config.accumulator_depth, "axi_data_width": config.axi_data_width,
            "depthwise_streams": config.depthwise_streams}


def neighbours(config: AcceleratorConfig) -> Iterator[tuple[str, int, int, AcceleratorConfig]]:
    """Configurations that differ in one parameter by one step: its name, its value here and there, and the configuration."""
    choice = choice_of(config)
    for name, values in CHOICES.items():
        here = choice[name]
        lower, higher = [value for value in values if value < here], [value for value in values if value > here]
        for there in (*lower[-1:], *higher[:1]):
            try:
                other = build_config(f"{name}={there}", {**choice, name: there}, residual_add=config.residual_add,
                                     pooling=config.pooling, softmax=config.softmax)
            except ConfigurationError:
                continue
            if replace(other, name=config.name, dsp_budget=config.dsp_budget) != config:
                yield name, here, there, other
