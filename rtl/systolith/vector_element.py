"""Layouts of what accompanies the elements of the vector unit."""

from amaranth import *
from amaranth.lib import data
from amaranth.utils import bits_for, exact_log2

from systolith.requantizer import RequantizerControl
from systolith.shapes import ADDRESS_WIDTH

__all__ = ["destination_layout", "element_layout", "issue_layout"]


def element_layout(config):
    """What the lanes must know about an element when its data arrives.

    ``source`` to ``odd`` describe the command and the place in the window (``first`` and ``last`` element of
    a reduction, ``odd`` kernel column); ``column_group`` counts groups within an accumulator entry; ``group``
    and ``bank`` address the lane tables; lanes outside the ``mask`` read as ``pad``.
    """
    return data.StructLayout(
        {
            "source": 1,
            "maximum_reduce": 1,
            "operand_scale": 1,
            "first": 1,
            "last": 1,
            "odd": 1,
            "bank": 1,
            "group": exact_log2(config.parameter_groups),
            "column_group": range(config.cols // config.vector_lanes),
            "pad": signed(8),
            "zero": signed(8),
            "mask": config.vector_lanes,
            "control": RequantizerControl,
        }
    )


def destination_layout(config):
    """Where a result goes: address, number of lanes to write, bank, whether it is the last of its command."""
    return data.StructLayout(
        {
            "addr": ADDRESS_WIDTH,
            "lanes": bits_for(config.vector_lanes),
            "bank": 1,
            "command_last": 1,
        }
    )


def issue_layout(config):
    """A read to be issued: its element, the destination of its result, and whether to wait for a fence."""
    return data.StructLayout(
        {
            "fence": 1,
            "element": element_layout(config),
            "destination": destination_layout(config),
        }
    )
