"""Cycle counts of the vector engine: constants and formulas shared by hardware tests and cycle model.

Time is counted in clock cycles; ports are never taken by others. A VECTOR command is a run of reads, one per
cycle: ``first`` is the cycle of its first read, ``last = first + vector_elements - 1`` that of its last.

* ``first`` is ``vector_start`` after the acceptance of the command by an idle engine. In a run of commands it
  is ``last + 1`` of the command before: there is no gap (commands of one read: a gap of one cycle), but for
* the fence: ``last + vector_fence_gap``;
* a change of source: ``last + vector_switch_gap``;
* tables still being filled by a PARAMS of the same bank: ``params_end + vector_start - 1`` (less the division
  of ``vector_start``, which takes place meanwhile).
* The last write is accepted at ``last + vector_write_latency``, the command retires one cycle later.
"""

from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import ACTIVATION_READ_LATENCY

__all__ = [
    "ACCUMULATOR_READ_LATENCY",
    "OPERAND_SCALER_LATENCY",
    "PARAMETER_READ_LATENCY",
    "REQUANTIZER_LATENCY",
    "VECTOR_COMMANDS_IN_FLIGHT",
    "params_cycles",
    "params_end",
    "params_latency",
    "vector_division",
    "vector_elements",
    "vector_fence_gap",
    "vector_latency",
    "vector_pipeline",
    "vector_result_depth",
    "vector_results",
    "vector_start",
    "vector_switch_gap",
    "vector_write_latency",
]

ACCUMULATOR_READ_LATENCY = 4
"""Accepted read of the accumulator buffer to its data."""
PARAMETER_READ_LATENCY = 2
"""Read of the parameter buffer to its data."""
REQUANTIZER_LATENCY = 17
"""Sum to int8."""
OPERAND_SCALER_LATENCY = 7
"""Operand of ADD to its scaled value."""
VECTOR_COMMANDS_IN_FLIGHT = 16
"""Commands that may have started and not retired."""
RECIPROCAL_NORMALISE = 13
"""Cycles in which the sum of a softmax is shifted left."""
RECIPROCAL_CYCLES = 1 + RECIPROCAL_NORMALISE + 7 * 9
"""Sum of a softmax to its reciprocal: seven products of nine cycles."""
_WINDOW_ACCESS = 3
_REQUEST = 1  # register between the walk and the read ports


def _groups(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    return -(-fields["channels"] // config.vector_lanes)


def vector_results(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Writes of a VECTOR command: one per output pixel and group of lanes."""
    return fields["y_count"] * fields["x_count"] * _groups(config, fields)


def vector_elements(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Reads of a VECTOR command, which are also its cycles in a run of commands that nothing stalls."""
    window = fields["ky_count"] * fields["kx_count"] if fields["source"] else 1
    return vector_results(config, fields) * window


def vector_division(config: AcceleratorConfig) -> int:
    """Cycles to divide channels by lanes, hidden behind the command before: none if a power of two."""
    return 0 if config.vector_lanes & (config.vector_lanes - 1) == 0 else 24


def vector_start(config: AcceleratorConfig) -> int:
    """Acceptance of a command by an idle engine to its first read."""
    return 2 + vector_division(config) + (_WINDOW_ACCESS if config.pooling else 0) + _REQUEST


def vector_pipeline(config: AcceleratorConfig, source: int) -> int:
    """Last element of a reduction (its data) to the int8 result."""
    if not source:
        return 3 + REQUANTIZER_LATENCY
    return 4 + (OPERAND_SCALER_LATENCY if config.residual_add else 0) + REQUANTIZER_LATENCY


def vector_write_latency(config: AcceleratorConfig, source: int) -> int:
    """Accepted read of the last element of a reduction to the accepted write of its result."""
    read = ACTIVATION_READ_LATENCY if source else ACCUMULATOR_READ_LATENCY
    return read + vector_pipeline(config, source) + 2


def vector_result_depth(config: AcceleratorConfig) -> int:
    """Results that may be between read and write: enough for one per cycle, in multiples of 16."""
    longest = max(vector_write_latency(config, source) for source in ((0, 1) if config.pooling else (0,)))
    return -(-(longest + 1 + _REQUEST) // 16) * 16


def vector_fence_gap(config: AcceleratorConfig, source: int) -> int:
    """Last read of a command to the first read of the next one with the fence bit, by the former's source."""
    # The write register is empty a cycle after the write, the fence sees it in the next.
    return vector_write_latency(config, source) + 2 + _REQUEST


def vector_switch_gap(config: AcceleratorConfig, source: int) -> int:
    """Last read of a command with this source to the first read of the next one with the other source."""
    if not source:
        return ACCUMULATOR_READ_LATENCY + 1 + _REQUEST
    return ACTIVATION_READ_LATENCY + 3 + _REQUEST + (OPERAND_SCALER_LATENCY if config.residual_add else 0)


def vector_latency(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Acceptance of a VECTOR command by an idle engine to its retire pulse, without stalls."""
    return (
        vector_start(config)
        + vector_elements(config, fields)
        - 1
        + vector_write_latency(config, fields["source"])
        + 1
    )


def params_cycles(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Cycles in which a PARAMS command writes: each channel's bias, then each channel's scale.

    A softmax reads its values twice, and its reciprocal lies between biases and scale.
    """
    if fields["softmax"]:
        # Around each pass: the request register, the read, the register of the value.
        passes = 2 * (fields["channels"] + _REQUEST + ACTIVATION_READ_LATENCY + 2)
        return passes + 1 + PARAMETER_READ_LATENCY + RECIPROCAL_CYCLES + config.parameter_groups
    if fields["bias_immediate"] and fields["scale_immediate"]:
        return config.parameter_groups
    return 2 * fields["channels"]


def params_end(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Acceptance of a PARAMS command by an idle engine to the first cycle in which its bank may be used."""
    return params_cycles(config, fields) + PARAMETER_READ_LATENCY + 3


def params_latency(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Acceptance of a PARAMS command by an idle engine to its retire pulse."""
    return params_end(config, fields)
