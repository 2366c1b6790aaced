"""Column mode of the array (depthwise convolution): which row multiplies what, and which positions give sums.

Symbols: S = ``depthwise_streams`` copies of the vector stream, each one line of vectors behind the one before;
P = ``depthwise_taps`` = rows // S rows of the array that read each of them.
"""

from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import array_latency

__all__ = ["column_outputs", "column_row", "column_settle", "column_stream"]


def column_stream(config: AcceleratorConfig, row: int) -> tuple[int, int]:
    """Stream g that a row of the array reads, and its tap k: it multiplies the vector k after that of its sum."""
    stream = min(row // config.depthwise_taps, config.depthwise_streams - 1)
    return stream, row - stream * config.depthwise_taps


def column_row(config: AcceleratorConfig, stream: int, tap: int) -> int:
    """Row of the array that multiplies tap ``tap`` of a stream; `column_stream` the other way round."""
    return stream * config.depthwise_taps + tap


def column_outputs(fields: dict[str, int]) -> int:
    """Sums that a tile of a COMPUTE command gives: all its vectors, or those that column mode selects."""
    if not fields.get("column_mode", 0):
        return fields["y_count"] * fields["x_count"]
    valid = min(fields["valid_columns"], fields["x_count"])
    return max(0, fields["y_count"] - fields["skip_rows"]) * -(-valid // fields["column_step"])


def column_settle(config: AcceleratorConfig, *, read_latency: int) -> int:
    """Cycles from the last vector of lines of one length to the first vector of lines of another.

    The sums of the last vector have left the array by then: the lines must not change under them.
    """
    return read_latency + 2 + array_latency(config)
