"""What can be said about a command without executing it: the unit that it needs, the memory that it moves.

Both the machine model and the reader of image files use these rules, so they agree on what they refuse.
"""

from systolith_spec.config import AcceleratorConfig

__all__ = ["LARGEST_COMMAND", "LARGEST_OFFSET", "LARGEST_TRANSFER", "missing_unit", "transfer_extent"]

LARGEST_COMMAND = 1 << 26
"""Bytes that a COMPUTE or VECTOR of the machine model may touch, repetitions included: bounds its memory and time.

The hardware has no such limit, and commands that compute something useful stay far below.
"""
LARGEST_TRANSFER = 1 << 22
"""The same for LOAD and STORE: four times the largest buffer."""
LARGEST_OFFSET = 1 << 31
"""Below this, steps of a transfer can be taken as signed numbers, so that its extent is that of its corners."""

# A field that must be 0 where a configuration leaves a unit out.
_UNITS = {
    "COMPUTE": (("column_mode", "depthwise_streams"),),
    "VECTOR": (("source", "pooling"), ("operand_scale", "residual_add")),
    "PARAMS": (("softmax", "softmax"),),
}


def missing_unit(config: AcceleratorConfig, name: str, fields: dict[str, int]) -> tuple[str, str] | None:
    """Field of a command that asks for a unit that the configuration leaves out, and that unit."""
    for field, unit in _UNITS.get(name, ()):
        if fields[field] and not getattr(config, unit):
            return field, unit
    return None


def transfer_extent(fields: dict[str, int], side: str) -> range:
    """Bytes from the lowest to the highest that a LOAD or STORE touches, without listing its runs.

    Parameters
    ----------
    fields : dict of str to int
        Decoded command; counts and length are at least 1.
    side : str
        "memory" or "buffer".

    Returns
    -------
    range
        Addresses; what is outside 0 .. `LARGEST_OFFSET` wraps around in the hardware, and is an error.
    """
    half = LARGEST_OFFSET if side == "memory" else 1 << 23
    low = high = fields[side]
    for loop in (1, 2):
        step = fields[f"{side}_step_{loop}"]
        reach = (step - 2 * half if step >= half else step) * (fields[f"count_{loop}"] - 1)
        low, high = low + min(reach, 0), high + max(reach, 0)
    return range(low, high + fields["length"])

