"""Payloads of the AXI4 channels inside the accelerator.

Every channel is a ``stream.Signature``. All bursts are incrementing, every beat is ``config.axi_bytes``
wide, addresses are multiples of ``config.axi_bytes`` and no burst crosses a multiple of 4 KiB; the fixed
signals (size, burst, the zero id of writes) are added at the top.
"""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from systolith.shapes import MEMORY_WIDTH

__all__ = [
    "AXI_BURST_INCR",
    "AXI_ID_FETCH",
    "AXI_ID_LOAD",
    "AXI_ID_WIDTH",
    "axi_address_layout",
    "axi_read_layout",
    "axi_read_signature",
    "axi_response_layout",
    "axi_write_layout",
    "axi_write_signature",
]

AXI_ID_WIDTH = 1
"""Bits of a transaction id."""
AXI_ID_LOAD = 0
"""Read id of the LOAD engine."""
AXI_ID_FETCH = 1
"""Read id of the command fetcher."""
AXI_BURST_INCR = 1
"""ARBURST and AWBURST of an incrementing burst."""


def axi_address_layout():
    """Payload of the AR and AW channels: ``addr``, ``len`` (beats - 1) and ``id``."""
    return data.StructLayout({"addr": MEMORY_WIDTH, "len": 8, "id": AXI_ID_WIDTH})


def axi_read_layout(config):
    """Payload of the R channel: ``data``, ``resp``, ``last`` and ``id``."""
    return data.StructLayout({"data": config.axi_data_width, "resp": 2, "last": 1, "id": AXI_ID_WIDTH})


def axi_write_layout(config):
    """Payload of the W channel: ``data``, ``strb`` (one bit a byte) and ``last``."""
    return data.StructLayout({"data": config.axi_data_width, "strb": config.axi_bytes, "last": 1})


def axi_response_layout():
    """Payload of the B channel: ``resp`` and ``id``."""
    return data.StructLayout({"resp": 2, "id": AXI_ID_WIDTH})


def axi_read_signature(config):
    """Manager's side of the read channels: members ``ar`` (out) and ``r`` (in)."""
    return Signature(
        {
            "ar": Out(stream.Signature(axi_address_layout())),
            "r": In(stream.Signature(axi_read_layout(config))),
        }
    )


def axi_write_signature(config):
    """Manager's side of the write channels: members ``aw``, ``w`` (out) and ``b`` (in)."""
    return Signature(
        {
            "aw": Out(stream.Signature(axi_address_layout())),
            "w": Out(stream.Signature(axi_write_layout(config))),
            "b": In(stream.Signature(axi_response_layout())),
        }
    )
