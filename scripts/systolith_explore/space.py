"""The configurations that exploration considers: choices of each parameter, and what follows from them."""

from collections.abc import Iterator

import numpy as np

from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["CHOICES", "build_config", "sample_configs"]

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
        depthwise_streams=min(choice["depthwise_streams"], choice["rows"] // 2), residual_add=residual_add and pooling,
        pooling=pooling, softmax=softmax and pooling)


def sample_configs(seed: int, *, most_elements: int) -> Iterator[AcceleratorConfig]:
    """Random configurations without end, of at most `most_elements` multipliers in the array."""
    rng = np.random.default_rng(seed)
    index = 0
    while True:
        choice = {key: values[rng.integers(len(values))] for key, values in CHOICES.items()}
        units = rng.random(3) < 0.75
        if choice["rows"] * choice["cols"] > most_elements:
            continue
        try:
            yield build_config(f"sample-{seed}-{index}", choice, residual_add=bool(units[0]), pooling=bool(units[1]),
                               softmax=bool(units[2]))
        except ConfigurationError:
            continue
        index += 1
