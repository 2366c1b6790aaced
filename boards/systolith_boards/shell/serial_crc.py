"""CRC-32 of bytes, a bit per cycle: bytes of a UART come rarely enough."""

from amaranth import *
from amaranth.lib.crc import Processor
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import Component, In, Out

__all__ = ["SerialCrc"]

_BITS = 8


class SerialCrc(Component):
    """CRC-32 as in zlib. A fifth of the LUTs of one that takes a byte per cycle.

    Members
    -------
    start : ``In(1)``
        Forget what came before.
    valid, data : ``In(1)``, ``In(8)``
        A byte; not while ``busy``, nor with ``start``.
    busy : ``Out(1)``
        For nine cycles after each byte.
    crc : ``Out(32)``
        CRC of the bytes since ``start``, when not busy.
    match : ``Out(1)``
        The last four bytes are the CRC of those before, when not busy.
    """

    start: In(1)
    valid: In(1)
    data: In(_BITS)
    busy: Out(1)
    crc: Out(32)
    match: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.processor = processor = Processor(CRC32_ISO_HDLC(data_width=1))
        bits = Signal(_BITS)
        left = Signal(range(_BITS + 1))
        # The byte, a cycle later: who sends it decides late in the cycle.
        waiting, byte = Signal(), Signal(_BITS, reset_less=True)
        m.d.sync += [waiting.eq(self.valid), byte.eq(self.data)]
        m.d.comb += [
            self.busy.eq(waiting | (left != 0)),
            processor.start.eq(self.start),
            processor.valid.eq(left != 0),
            processor.data.eq(bits[0]),
            self.crc.eq(processor.crc),
            self.match.eq(processor.match_detected),
        ]
        with m.If(waiting):
            m.d.sync += [bits.eq(byte), left.eq(_BITS)]
        with m.Elif(left != 0):
            m.d.sync += [bits.eq(bits >> 1), left.eq(left - 1)]
        return m
