"""Payload shapes shared by several blocks, made from the declarative tables."""

from amaranth import signed, unsigned
from amaranth.lib import data

from systolith_spec.commands import COMMAND_BYTES, COMMANDS

__all__ = ["ADDRESS_WIDTH", "MEMORY_WIDTH", "command_layout"]

ADDRESS_WIDTH = 24
"""Bits of a buffer address."""
MEMORY_WIDTH = 32
"""Bits of a main-memory address."""


def command_layout(name: str) -> data.FlexibleLayout:
    """Layout of a 64-byte command: one member per field of the command table.

    Parameters
    ----------
    name : str
        Command name, for example "COMPUTE".
    """
    command = next(command for command in COMMANDS if command.name == name)
    return data.FlexibleLayout(8 * COMMAND_BYTES, {
        field.name: data.Field(signed(field.width) if field.signed else unsigned(field.width),
                               32 * field.word + field.lsb)
        for field in command.fields
    })
