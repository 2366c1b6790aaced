"""Frames of the host link: checked and stored on the way in, delimited and checksummed on the way out."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from systolith.block_ram import block_ram
from systolith_boards.shell.protocol import ESCAPE, ESCAPE_XOR, FLAG, FRAME_BYTES, WINDOW
from systolith_boards.shell.serial_crc import SerialCrc

__all__ = ["FRAME_LAYOUT", "FrameReceiver", "FrameTransmitter", "frame_stream"]

FRAME_LAYOUT = data.StructLayout({"data": 8, "last": 1})
"""A byte of the contents of a frame; ``last`` marks the last one."""

_CRC_BYTES = 4


def frame_stream():
    """Signature of the contents of frames, byte by byte."""
    return stream.Signature(FRAME_LAYOUT)


class FrameReceiver(Component):
    """Turns received bytes into the contents of frames.

    A frame is stored until its flag; only if its CRC is right its contents leave, without the CRC. There is room for
    `WINDOW` frames; one that arrives while all are taken is dropped, as is one that is damaged or too long.

    Parameters
    ----------
    style : str
        Of the block RAM.

    Members
    -------
    i : ``In(stream.Signature(8, always_ready=True))``
        Received bytes, at least eleven cycles apart.
    o : ``Out(frame_stream())``
        Contents of frames.
    """

    def __init__(self, *, style="generic"):
        self._style = style
        super().__init__({"i": In(stream.Signature(8, always_ready=True)), "o": Out(frame_stream())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = block_ram(style=self._style, width=8, depth=WINDOW * FRAME_BYTES)
        # Length of the contents of each stored frame; 0 while its place is free.
        lengths = Array(Signal(range(FRAME_BYTES + 1), name=f"length_{index}") for index in range(WINDOW))
        self._store(m, ram, lengths)
        self._read(m, ram, lengths)
        return m

    def _store(self, m, ram, lengths):
        m.submodules.crc = crc = SerialCrc()
        place = Signal(range(WINDOW))
        count = Signal(range(FRAME_BYTES + 1))
        escaped = Signal()
        bad, full, complete = Signal(), Signal(), Signal()
        # What a byte is, a cycle behind it, like the room for it.
        valid, byte, flag, escape = Signal(), Signal(8, reset_less=True), Signal(reset_less=True), Signal(reset_less=True)
        m.d.sync += [
            valid.eq(self.i.valid), byte.eq(self.i.payload),
            flag.eq(self.i.payload == FLAG), escape.eq(self.i.payload == ESCAPE),
            full.eq((count == FRAME_BYTES) | (lengths[place] != 0)),
            complete.eq(crc.match & (count > _CRC_BYTES) & ~bad & ~escaped),  # so far
        ]
        m.d.comb += [
            crc.data.eq(byte ^ Mux(escaped, ESCAPE_XOR, 0)),
            ram.w_data.eq(crc.data),
            ram.w_addr.eq(Cat(count[:-1], place)),
        ]
        with m.If(valid):
            with m.If(flag):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [count.eq(0), escaped.eq(0), bad.eq(0)]
                with m.If(complete):
                    m.d.sync += [lengths[place].eq(count - _CRC_BYTES), place.eq(place + 1)]
            with m.Elif(escape):
                m.d.sync += escaped.eq(1)
            with m.Elif(full):
                m.d.sync += bad.eq(1)
            with m.Else():
                m.d.comb += [crc.valid.eq(1), ram.w_en.eq(1)]
                m.d.sync += [count.eq(count + 1), escaped.eq(0)]

    def _read(self, m, ram, lengths):
        place = Signal(range(WINDOW))
        count = Signal(range(FRAME_BYTES))
        # Length and the comparison with it are registers, and ready before the byte is.
        cycles = ram.read_latency + 1
        wait, arrived = Signal(range(cycles)), Signal()
        length, last, present = Signal.like(lengths[0], name="length"), Signal(), Signal()
        m.d.sync += [length.eq(lengths[place]), present.eq(lengths[place] != 0), last.eq(count + 1 == length)]
        m.d.comb += [
            ram.r_addr.eq(Cat(count, place)),
            ram.r_en.eq(1),
            self.o.payload.data.eq(ram.r_data),
            self.o.payload.last.eq(last),
            self.o.valid.eq(arrived),
        ]
        with m.If(present & ~arrived):
            m.d.sync += [wait.eq(wait + 1), arrived.eq(wait == cycles - 1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [wait.eq(0), arrived.eq(0), count.eq(count + 1)]
            with m.If(self.o.payload.last):
                m.d.sync += [count.eq(0), lengths[place].eq(0), place.eq(place + 1)]


class FrameTransmitter(Component):
    """Turns contents into frames: a flag, the contents, their CRC, a flag.

    Members
    -------
    i : ``In(frame_stream())``
        Contents of frames.
    o : ``Out(stream.Signature(8))``
        Bytes to send; taken at least ten cycles apart.
    """

    i: In(frame_stream())
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = SerialCrc()
        byte = Signal(8)
        valid = Signal()
        taken = Signal()  # the byte, not the escape before it
        escaped = Signal()
        left = Signal(range(_CRC_BYTES))
        word = Signal(32)
        # A byte is sent from the cycle after its first one on, when it is known whether it needs an escape.
        special, known = Signal(), Signal()
        m.d.sync += [special.eq((byte == FLAG) | (byte == ESCAPE)), known.eq(valid & ~taken)]
        m.d.comb += [
            self.o.valid.eq(valid & known),
            self.o.payload.eq(Mux(escaped, byte ^ ESCAPE_XOR, Mux(special, ESCAPE, byte))),
            taken.eq(valid & known & self.o.ready & (escaped | ~special)),
            crc.data.eq(self.i.payload.data),
        ]
        with m.If(valid & known & self.o.ready):
            m.d.sync += escaped.eq(special & ~escaped)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += crc.start.eq(1)
                with m.If(self.i.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                self._flag(m, then="CONTENTS")
            with m.State("CONTENTS"):
                m.d.comb += [byte.eq(self.i.payload.data), valid.eq(self.i.valid), self.i.ready.eq(taken), crc.valid.eq(taken)]
                with m.If(taken & self.i.payload.last):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.sync += [word.eq(crc.crc), left.eq(_CRC_BYTES - 1)]
                with m.If(~crc.busy):
                    m.next = "CRC_BYTES"
            with m.State("CRC_BYTES"):
                m.d.comb += [byte.eq(word[:8]), valid.eq(1)]
                with m.If(taken):
                    m.d.sync += [word.eq(word >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "END"
            with m.State("END"):
                self._flag(m, then="IDLE")
        return m

    def _flag(self, m, *, then):
        m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(FLAG)]
        with m.If(self.o.ready):
            m.next = then
