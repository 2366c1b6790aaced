"""Command fetch: program memory to command beats, ahead of time."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.axi import AXI_ID_FETCH, axi_read_signature
from systolith.block_fifo import BlockFifo
from systolith.head_buffer import HeadBuffer
from systolith.ports import DmaError
from systolith.shapes import MEMORY_WIDTH, command_layout
from systolith_spec.commands import COMMAND_BYTES, COMMANDS, Engine, Opcode
from systolith_spec.registers import ErrorCode

__all__ = ["CommandFetcher"]

_HEADER = command_layout("END")
_PREFETCH_BYTES = 512
_BURST_BYTES = 256


class CommandFetcher(Component):
    """Read commands from main memory, check their headers and send each to the queue of its engine.

    Dataflow: bursts of up to 256 bytes, aligned to their size, are requested as long as the prefetch FIFO
    has room for the whole burst; the FIFO's beats go through a register, into which the first beat of each
    command is decoded, to one of the four outputs. The dispatcher waits while that output is not ready.
    After END, further beats are drained and dropped.

    No byte at or beyond ``limit`` is read: near the limit, single commands are requested. A program that
    goes on beyond is an out-of-range error. Response errors count only in commands that are executed.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    start : ``In(1)``
        Start fetching (a pulse); only while ``idle``.
    base, program, limit : ``In(32)``
        Registers BASE and PROGRAM, and LIMIT or WRITABLE, whichever ends first; stable while not ``idle``.
    stop : ``In(1)``
        Level: request nothing more, drop everything that is still to come.
    idle : ``Out(1)``
        Nothing outstanding and nothing stored.
    ended : ``Out(1)``
        END was met since the last start; all commands before it are in the queues.
    axi : ``Out(axi_read_signature(config))``
        Read channels, id 1.
    beats : ``Out(stream.Signature(axi_data_width)).array(4)``
        Commands for each engine, lowest bytes first.
    dispatch : ``Out(1)``
        A command has been handed over completely (a pulse; END does not count).
    progress : ``Out(1)``
        A beat has arrived.
    error : ``Out(DmaError)``
        First error since the last start (a pulse). ``address`` is the address of the command. The fetcher
        then behaves as after END, but does not set ``ended``.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__({
            "start": In(1),
            "base": In(MEMORY_WIDTH),
            "program": In(MEMORY_WIDTH),
            "limit": In(MEMORY_WIDTH),
            "stop": In(1),
            "idle": Out(1),
            "ended": Out(1),
            "axi": Out(axi_read_signature(config)),
            "beats": Out(stream.Signature(config.axi_data_width)).array(len(Engine)),
            "dispatch": Out(1),
            "progress": Out(1),
            "error": Out(DmaError),
        })

    @property
    def config(self):
        """Configuration of the accelerator."""
        return self._config

    @property
    def burst_beats(self):
        """Beats of a full burst, a power of two."""
        limit = min(self.config.burst_beats, _BURST_BYTES // self.config.axi_bytes)
        return 1 << (limit.bit_length() - 1)

    @property
    def prefetch_beats(self):
        """Beats that may be requested ahead."""
        return _PREFETCH_BYTES // self.config.axi_bytes

    def elaborate(self, platform):
        m = Module()
        # From END, an error or stop on, beats are dropped.
        discard = Signal(init=1)
        exhausted = Signal()
        # Beats that may still be requested: the FIFO has room for them. The last beat that has been used does not count yet.
        room, s1_used = Signal(range(self.prefetch_beats + 1), init=self.prefetch_beats), Signal()
        # All of it: nothing is outstanding or stored.
        drained = Signal()
        m.d.comb += drained.eq(Mux(s1_used, room == self.prefetch_beats - 1, room == self.prefetch_beats))
        with m.If(self.stop):
            m.d.sync += discard.eq(1)
        with m.If(self.start):
            m.d.sync += [discard.eq(0), self.ended.eq(0)]
        used = self._dispatch(m, discard, drained, exhausted, self._receive(m))
        reserved, requesting = self._request(m, discard, room, s1_used, exhausted)
        # A cycle late, which no one sees: room is looked at two cycles after a request at the earliest.
        s1_reserved = Signal.like(reserved)
        m.d.sync += [
            s1_reserved.eq(reserved),
            s1_used.eq(used),
            room.eq(room - s1_reserved + s1_used),
            self.idle.eq(discard & drained & ~requesting & ~self.start),
        ]
        return m

    def _request(self, m, discard, room, s1_used, exhausted):
        """Address generator; returns the number of beats requested in this cycle, and whether it is at work.

        It counts in units of one command, or of one burst where bursts are shorter than a command.
        """
        unit_bytes = min(self.burst_beats * self.config.axi_bytes, COMMAND_BYTES)
        unit_log2 = exact_log2(unit_bytes)
        unit_beats_log2 = exact_log2(unit_bytes // self.config.axi_bytes)
        burst = self.burst_beats >> unit_beats_log2
        ar = self.axi.ar
        address = Signal(MEMORY_WIDTH - unit_log2)
        remaining = Signal(signed(MEMORY_WIDTH - unit_log2 + 1))
        unlimited = Signal()
        units = Signal(range(burst + 1))
        reserved = Signal(range(self.burst_beats + 1))

        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        with m.If(self.start):
            m.d.sync += [
                address.eq(self._first_command() >> unit_log2),
                remaining.eq((self.limit - (self.program & ~(COMMAND_BYTES - 1))) >> unit_log2),
                unlimited.eq(self.limit == 0),
                exhausted.eq(0),
            ]
        # Up to the next multiple of the burst size, so that no burst crosses 4 KiB.
        s0_whole = Signal(range(burst + 1))
        s0_plenty = Signal()
        s0_some = Signal()
        m.d.sync += [
            s0_whole.eq(burst - (address & (burst - 1))),
            s0_plenty.eq(unlimited | (remaining >= burst)),
            s0_some.eq(remaining > 0),
        ]
        # Registers: there is room for the units; there would be with one place more, which comes late.
        fits, fits_one_more = Signal(), Signal()
        next_units = Signal.like(units)
        next_beats = next_units << unit_beats_log2
        m.d.comb += next_units.eq(units)
        left = Signal(signed(len(room) + 1))
        m.d.comb += left.eq(room - next_beats)
        # Told by bits: yosys would compare by further carry chains.
        enough, one_short, two_short = ~left[-1], left.all(), left[1:].all() & ~left[0]
        m.d.sync += [
            fits.eq(enough | (s1_used & one_short)), fits_one_more.eq(enough | one_short | (s1_used & two_short))]
        with m.FSM() as fsm:
            with m.State("IDLE"), m.If(self.start):
                m.next = "MEASURE"
            with m.State("MEASURE"):
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.next = "ISSUE"
                m.d.comb += next_units.eq(Mux(s0_plenty, s0_whole, 1))
                m.d.sync += units.eq(next_units)
                with m.If(~s0_plenty & ~s0_some):
                    m.d.sync += exhausted.eq(1)
                    m.next = "IDLE"
            with m.State("ISSUE"):
                beats = Signal(range(self.burst_beats + 1))
                m.d.comb += beats.eq(units << unit_beats_log2)
                with m.If(discard):
                    m.next = "IDLE"
                with m.Elif((fits | (s1_used & fits_one_more)) & (~ar.valid | ar.ready)):
                    m.d.comb += reserved.eq(beats)
                    m.d.sync += [
                        ar.valid.eq(1),
                        ar.payload.addr.eq(address << unit_log2),
                        ar.payload.len.eq(beats - 1),
                        address.eq(address + units),
                        remaining.eq(remaining - units),
                    ]
                    m.next = "MEASURE"
        m.d.comb += ar.payload.id.eq(AXI_ID_FETCH)
        return reserved, ~fsm.ongoing("IDLE")

    def _first_command(self):
        return (self.base + self.program)[:MEMORY_WIDTH] & ~(COMMAND_BYTES - 1)

    def _receive(self, m):
        """Prefetch FIFO; returns the stream of its beats."""
        layout = data.StructLayout({"data": self.config.axi_data_width, "resp": 2})
        m.submodules.fifo = fifo = BlockFifo(
            shape=layout, depth=self.prefetch_beats, style=self.config.multiplier_style)
        m.d.comb += [
            # Room was reserved before the request, so the FIFO never refuses a beat.
            self.axi.r.ready.eq(1),
            fifo.i.valid.eq(self.axi.r.valid),
            fifo.i.payload.data.eq(self.axi.r.payload.data),
            fifo.i.payload.resp.eq(self.axi.r.payload.resp),
        ]
        m.d.sync += self.progress.eq(self.axi.r.valid)
        return fifo.o

    def _dispatch(self, m, discard, drained, exhausted, fetched):
        """Decoder and dispatcher; returns a bit: a beat has been used."""
        s1 = self._decode(m, fetched)
        beat = s1.payload
        used = Signal()
        m.d.comb += s1.ready.eq(used)

        command_address = Signal(MEMORY_WIDTH)
        accepted = Signal()
        forwarded = Signal()
        ready = Cat(port.ready for port in self.beats)
        m.d.comb += [
            accepted.eq((beat.target & ready).any()),
            forwarded.eq(s1.valid & ~discard & ~beat.bad & ~beat.stop & accepted),
            used.eq(s1.valid & (discard | (accepted & ~beat.bad & ~beat.stop))),
            self.error.address.eq(command_address),
        ]
        # The program goes on beyond what may be read.
        beyond = Signal()
        m.d.sync += [
            self.dispatch.eq(forwarded & beat.last), self.error.valid.eq(0), beyond.eq(exhausted & drained & ~discard)]
        # An error is reported a cycle after its beat: the commands before it are counted by then.
        with m.If(self.dispatch):
            m.d.sync += command_address.eq(command_address + COMMAND_BYTES)
        with m.If(self.start):
            m.d.sync += command_address.eq(self._first_command())

        def fail(code, response=0):
            m.d.sync += [
                discard.eq(1), self.error.valid.eq(1), self.error.code.eq(code), self.error.response.eq(response),
            ]

        with m.If(~discard & s1.valid):
            with m.If(beat.resp[1]):
                fail(ErrorCode.READ_RESPONSE, beat.resp)
            with m.Elif(beat.stop):
                m.d.sync += [self.ended.eq(1), discard.eq(1)]
            with m.Elif(beat.bad):
                fail(ErrorCode.BAD_COMMAND)
        with m.Elif(~discard & beyond):
            fail(ErrorCode.OUT_OF_RANGE)
        for engine in Engine:
            m.d.comb += [
                self.beats[engine].valid.eq(s1.valid & ~discard & ~beat.bad & ~beat.stop & beat.target[engine]),
                self.beats[engine].payload.eq(beat.data),
            ]
        return used

    def _decode(self, m, fetched):
        """Stage 1: the stream of beats, with their command's engine (one-hot) and whether they are its last.

        A beat goes to no engine, whatever its target, if it is the first of a ``bad`` command, or with ``stop``: END or no
        data.
        """
        beats = COMMAND_BYTES // self.config.axi_bytes
        layout = data.StructLayout({
            **{name: field.shape for name, field in fetched.payload.shape()},
            "last": 1, "stop": 1, "bad": 1, "target": len(Engine),
        })
        m.submodules.s1 = s1 = HeadBuffer(shape=layout)
        position = Signal(range(beats))
        first = Signal()
        header = Signal(_HEADER)
        target, held_target = Signal(len(Engine)), Signal(len(Engine))
        known, bad = Signal(), Signal()
        m.d.comb += [first.eq(position == 0), header.as_value().eq(fetched.payload.data[:32])]
        with m.Switch(header.opcode):
            for command in COMMANDS:
                with m.Case(int(command.opcode)):
                    if command.engine is not None:
                        m.d.comb += [target.eq(1 << command.engine), known.eq(1)]
        space = command_layout("LOAD")["space"]
        no_space = target[Engine.LOAD] & fetched.payload.data.bit_select(space.offset, space.width).all()
        # An engine neither waits for itself nor signals itself.
        itself = (target & (header.wait | header.signal)).any()
        m.d.comb += [
            bad.eq(first & (~known | no_space | itself)),
            s1.i.valid.eq(fetched.valid),
            fetched.ready.eq(s1.i.ready),
            *(s1.i.payload[name].eq(fetched.payload[name]) for name, _ in fetched.payload.shape()),
            s1.i.payload.last.eq(position == beats - 1),
            s1.i.payload.stop.eq((first & (header.opcode == int(Opcode.END))) | fetched.payload.resp[1]),
            s1.i.payload.bad.eq(bad),
            s1.i.payload.target.eq(Mux(first, target, held_target)),
        ]
        with m.If(fetched.valid & fetched.ready):
            m.d.sync += [
                position.eq(Mux(position == beats - 1, 0, position + 1)),
                held_target.eq(s1.i.payload.target),
            ]
        with m.If(self.start):
            m.d.sync += position.eq(0)
        return s1.o
