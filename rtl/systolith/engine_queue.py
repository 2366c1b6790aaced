"""Command queue of one engine: storage, token gate and bookkeeping of commands in flight."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.block_ram import block_ram
from systolith.fill_level import FillLevel
from systolith.shapes import command_layout
from systolith_spec.commands import COMMAND_BYTES, Engine

__all__ = ["EngineQueue"]

_HEADER = command_layout("END")


class EngineQueue(Component):
    """Hold commands for an engine and hand over each one when its tokens are there.

    Dataflow: the beats of a command go into a block RAM; a reader moves the oldest command, beat by beat, into
    registers of its own while the engine works on the one before (bits that the engine does not look at cost
    nothing); the gate takes all tokens of the ``wait`` mask in one cycle and then offers the command.
    ``signal`` and ``layer`` of an offered command go to a small FIFO, whose head is used up by ``retire``. There is
    no flush: reset the component.

    Parameters
    ----------
    config : AcceleratorConfig
        ``queue_commands`` and ``axi_data_width`` are used.
    inflight_depth : int
        Commands that may be offered and not yet retired, a power of two.

    Members
    -------
    beats : ``In(stream.Signature(axi_data_width))``
        Commands, lowest bytes first.
    command : ``Out(stream.Signature(512))``
        Command whose tokens have been taken.
    retire : ``In(1)``
        The engine has retired its oldest command (a pulse).
    available : ``In(4)``
        Engines of which there is a token, see :class:`TokenCounters`.
    take : ``Out(1)``, wait : ``Out(4)``
        Tokens of the engines in ``wait`` are taken (a pulse); ``wait`` is the same in the cycle after it too.
    give : ``Out(4)``
        Tokens given to engines (pulses).
    stall_token : ``Out(1)``
        A command waits for a token.
    empty : ``Out(1)``
        No command is stored, offered or in flight.
    trace_retire : ``Out(1)``, trace_layer : ``Out(12)``
        A command of this layer has retired in the previous cycle.

    Raises
    ------
    ValueError
        If ``inflight_depth`` is not a power of two of at least 2.
    """

    def __init__(self, *, config, inflight_depth=16):
        if not isinstance(inflight_depth, int) or inflight_depth < 2 or inflight_depth & (inflight_depth - 1):
            raise ValueError(f"In-flight depth must be a power of two of at least 2, not {inflight_depth!r}")
        self._config = config
        self._inflight_depth = inflight_depth
        super().__init__({
            "beats": In(stream.Signature(config.axi_data_width)),
            "command": Out(stream.Signature(8 * COMMAND_BYTES)),
            "retire": In(1),
            "available": In(len(Engine)),
            "take": Out(1),
            "wait": Out(len(Engine)),
            "give": Out(len(Engine)),
            "stall_token": Out(1),
            "empty": Out(1),
            "trace_retire": Out(1),
            "trace_layer": Out(_HEADER["layer"].width),
        })

    @property
    def config(self):
        """Configuration of the accelerator."""
        return self._config

    @property
    def inflight_depth(self):
        """Commands that may be offered and not yet retired."""
        return self._inflight_depth

    def elaborate(self, platform):
        m = Module()
        assembled = Signal(8 * COMMAND_BYTES, reset_less=True)
        complete = Signal()
        stored = self._store(m, assembled, complete)
        header = Signal(_HEADER)
        m.d.comb += header.as_value().eq(assembled)

        # Tokens are taken ahead of time, usually while the engine is still busy with earlier commands.
        m.submodules.inflight = inflight = FillLevel(depth=self.inflight_depth)
        # A register: there is one in flight.
        only = Signal()
        granted = Signal()
        tokens_there = Signal()
        grant = Signal()
        m.d.comb += [
            tokens_there.eq((header.wait & ~self.available) == 0),
            grant.eq(complete & ~granted & tokens_there & inflight.room),
            self.take.eq(grant),
            self.wait.eq(header.wait),
            self.stall_token.eq(complete & ~granted & ~tokens_there),
            self.command.valid.eq(granted),
            self.command.payload.eq(assembled),
        ]
        with m.If(grant):
            m.d.sync += granted.eq(1)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [granted.eq(0), complete.eq(0)]
        retire = self._bookkeep(m, header, grant, inflight.some, only)
        m.d.comb += [inflight.put.eq(grant), inflight.take.eq(retire)]
        with m.If(grant ^ retire):
            m.d.sync += only.eq(inflight.level == Mux(grant, 0, 2))
        m.d.comb += self.empty.eq(~stored & ~complete & ~inflight.some)
        return m

    def _store(self, m, assembled, complete):
        """Storage and reader; returns whether there are beats that have not reached ``assembled``."""
        width = self.config.axi_data_width
        beats = COMMAND_BYTES // self.config.axi_bytes
        depth = self.config.queue_commands * beats
        m.submodules.ram = ram = block_ram(style=self.config.multiplier_style, width=width, depth=depth)
        # Beats in it, and those of them whose read has not been issued; a beat is readable the cycle after it was written.
        m.submodules.stored = stored = FillLevel(depth=depth)
        m.submodules.unread = unread = FillLevel(depth=depth)
        write_index = Signal(ceil_log2(depth))
        read_index = Signal(ceil_log2(depth))
        write = Signal()
        m.d.comb += [
            self.beats.ready.eq(stored.room),
            write.eq(self.beats.valid & self.beats.ready),
            # The free word behind the last beat may be written at any time: `write` comes late.
            ram.w_en.eq(stored.room),
            ram.w_addr.eq(write_index),
            ram.w_data.eq(self.beats.payload),
        ]
        with m.If(write):
            m.d.sync += write_index.eq(Mux(write_index == depth - 1, 0, write_index + 1))

        position = Signal(range(beats + 1))
        s0_read = Signal()
        m.d.comb += [
            s0_read.eq((position != beats) & unread.some),
            ram.r_en.eq(s0_read),
            ram.r_addr.eq(read_index),
        ]
        with m.If(s0_read):
            m.d.sync += [
                read_index.eq(Mux(read_index == depth - 1, 0, read_index + 1)),
                position.eq(position + 1),
            ]
        s1_valid = Signal()
        s2_valid = Signal()
        # One-hot: where the beat that leaves the block RAM belongs.
        place = Signal(beats, init=1)
        m.d.sync += [s1_valid.eq(s0_read), s2_valid.eq(s1_valid)]
        with m.If(s2_valid):
            m.d.sync += place.eq(place.rotate_left(1))
            for index in range(beats):
                with m.If(place[index]):
                    m.d.sync += assembled.word_select(index, width).eq(ram.r_data)
            with m.If(place[-1]):
                m.d.sync += complete.eq(1)
        # The slot of a beat is free once the beat has left the block RAM.
        m.d.comb += [
            unread.put.eq(write), unread.take.eq(s0_read), stored.put.eq(write), stored.take.eq(s2_valid),
        ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += position.eq(0)
        return stored.some

    def _bookkeep(self, m, header, grant, some, only):
        """FIFO of signal mask and layer of the commands between grant and retirement; returns "a command retires"."""
        signal_width, layer_width = _HEADER["signal"].width, _HEADER["layer"].width
        width = signal_width + layer_width
        m.submodules.headers = memory = Memory(shape=width, depth=self.inflight_depth, init=[])
        write_port = memory.write_port()
        read_port = memory.read_port(domain="comb")
        write_index = Signal(range(self.inflight_depth))
        # The oldest entry is in registers; this is the index of the one behind it.
        read_index = Signal(range(self.inflight_depth), init=1)
        layer = Signal(layer_width, reset_less=True)
        mask = Signal(signal_width)  # 0 when there is none
        retire = Signal()
        entry = Cat(header.signal, header.layer)
        m.d.comb += [
            write_port.addr.eq(write_index),
            write_port.data.eq(entry),
            write_port.en.eq(grant),
            read_port.addr.eq(read_index),
            retire.eq(self.retire & some),
            self.give.eq(Mux(self.retire, mask, 0)),
        ]
        m.d.sync += [
            write_index.eq(write_index + grant),
            read_index.eq(read_index + retire),
            self.trace_retire.eq(retire),
            self.trace_layer.eq(layer),
        ]
        # The only one there is comes directly; what is there when there is none does not count.
        with m.If(~some | (self.retire & only)):
            m.d.sync += [layer.eq(header.layer), mask.eq(Mux(grant, header.signal, 0))]
        with m.Elif(self.retire):
            m.d.sync += Cat(mask, layer).eq(read_port.data)
        return retire
