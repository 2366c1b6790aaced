"""Layouts of what accompanies the elements of the vector unit."""

from amaranth import *
from amaranth.lib import data
from amaranth.utils import bits_for, ceil_log2, exact_log2

from systolith.vector_constants import SLOT_WIDTH

__all__ = ["destination_layout", "element_layout", "issue_layout"]


def element_layout(config):
    """What the lanes must know about an element when its data arrives.

    ``source`` to ``odd`` tell the source and the place in the window (``first`` and ``last`` element of a
    reduction, ``odd`` kernel column); ``column_group`` counts groups within an accumulator entry; ``group`` and
    ``bank`` address the lane tables; lanes outside the ``mask`` are padding; ``slot`` finds the constants of the
    command (:class:`~systolith.vector_constants.VectorConstants`).
    """
    return data.StructLayout(
        {
            "source": 1,
            "first": 1,
            "last": 1,
            "odd": 1,
            "bank": 1,
            "group": exact_log2(config.parameter_groups),
            "column_group": range(config.cols // config.vector_lanes),
            "mask": config.vector_lanes,
            "slot": SLOT_WIDTH,
        }
    )


def destination_layout(config):
    """Where a result goes: address, number of lanes to write, bank, whether it is the last of its command."""
    return data.StructLayout(
        {
            "addr": ceil_log2(config.activation_bytes),
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
