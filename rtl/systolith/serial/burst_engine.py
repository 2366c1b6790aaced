"""One burst at a time between main memory and the buffers."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.shapes import MEMORY_WIDTH

__all__ = ["BurstEngine"]


class BurstEngine(Component):
    """A read or write burst of 32-bit beats that moves ``length`` bytes from or to any memory address.

    Once begun it goes on to its end whatever happens. A beat read is kept in a register first. One for the activation buffer
    takes a cycle for each of its bytes, others one; a beat from the buffer two, or as long as that takes to read it.

    Parameters
    ----------
    length_width : int
        Bits of the length.
    latency : int
        Cycles from ``fetched`` to the beat.

    Members
    -------
    begin : ``In(1)``
        Start a burst; only while not ``busy``.
    address : ``In(32)``, length : ``In(length_width)``, target : ``In(2)``
        Memory address; bytes, at least 1; destination (``Space``), or 3: from the activation buffer to memory. Taken with
        ``begin``, but for ``length`` and ``target``, which do not change before the end.
    busy : ``Out(1)``
    failed, decode_error : ``Out(1)``
        An error response in the last burst; it was DECERR (the first, if there were several).
    ar, aw, r, w, b :
        AXI channels.
    byte, byte_valid : ``Out(8)``, ``Out(1)``
        Next byte for the activation buffer.
    beat, weight_valid, word_valid : ``Out(32)``, ``Out(1)``
        Next beat for the weight buffer, or the RAM of the sequencer.
    word_ready : ``In(1)``
        That takes the beat.
    fetch : ``Out(1)``, fetched : ``In(1)``
        Read the next beat from the activation buffer; held until ``fetched``.
    stored : ``In(32)``
        That beat, ``latency`` cycles later and until the next ``fetch``.
    """

    def __init__(self, *, length_width, latency=1):
        self._length_width, self._latency = length_width, latency
        super().__init__({
            "begin": In(1), "address": In(MEMORY_WIDTH), "length": In(length_width), "target": In(2),
            "busy": Out(1), "failed": Out(1), "decode_error": Out(1),
            "arvalid": Out(1), "arready": In(1), "awvalid": Out(1), "awready": In(1),
            "addr": Out(MEMORY_WIDTH), "len": Out(8),
            "rvalid": In(1), "rready": Out(1), "rdata": In(32), "rresp": In(2), "rlast": In(1),
            "wvalid": Out(1), "wready": In(1), "wstrb": Out(4), "wlast": Out(1), "wdata": Out(32),
            "bvalid": In(1), "bready": Out(1), "bresp": In(2),
            "byte": Out(8), "byte_valid": Out(1), "beat": Out(32), "weight_valid": Out(1), "word_valid": Out(1),
            "word_ready": In(1), "fetch": Out(1), "fetched": In(1), "stored": In(32),
        })

    def elaborate(self, platform):
        m = Module()
        # Bytes from the first byte of the first beat to the last of the burst, and what of it is left.
        end = Signal(self._length_width + 1)
        left = Signal(self._length_width, reset_less=True)
        lane = Signal(2, reset_less=True)
        first = Signal(reset_less=True)
        word_address = Signal(MEMORY_WIDTH - 2, reset_less=True)
        m.d.comb += [
            end.eq(self.length + self.address[:2] - 1),
            self.addr.eq(word_address << 2),
            self.byte.eq(self.beat.word_select(lane, 8)),
            self.wdata.eq(self.stored),
        ]
        held, complete, one_left = Signal(), Signal(), Signal(reset_less=True)
        # Destinations, a cycle late; and whether the beat that is held goes now, but for that of the words.
        to_bytes, to_weights, to_words, going = (Signal(name=name, reset_less=True)
                                                 for name in ("to_bytes", "to_weights", "to_words", "going"))
        m.d.sync += [to_bytes.eq(self.target == 0), to_weights.eq(self.target == 1), to_words.eq(self.target == 2)]
        last_byte = Mux(held, (left == 2) | (lane == 2) & ~going, one_left | (lane == 3))
        m.d.sync += going.eq(~to_bytes | last_byte)
        last, resp = Signal(reset_less=True), Signal(2, reset_less=True)
        beats_left = Signal(8, reset_less=True)
        last_lane = Signal(2, reset_less=True)
        m.d.comb += [
            self.len.eq(beats_left),
            complete.eq(held & going & ~(to_words & ~self.word_ready)),
            self.byte_valid.eq(held & to_bytes),
            self.weight_valid.eq(held & to_weights),
            self.word_valid.eq(held & to_words),
        ]
        # While the beat is fetched.
        final = beats_left == 0
        m.d.sync += [
            self.wlast.eq(final),
            self.wstrb.eq(Cat((~first | (index >= lane)) & (~final | (index <= last_lane)) for index in range(4))),
        ]

        arrived = delay(m, self.fetch & self.fetched, self._latency - 1, name="arrived", reset_less=False)

        def response(channel_response):
            with m.If(channel_response[1] & ~self.failed):
                m.d.sync += [self.failed.eq(1), self.decode_error.eq(channel_response[0])]

        with m.FSM():
            with m.State("IDLE"), m.If(self.begin):
                m.d.sync += [
                    self.busy.eq(1),
                    word_address.eq(self.address[2:]), lane.eq(self.address), left.eq(self.length),
                    one_left.eq(self.length == 1),
                    beats_left.eq(end[2:]), last_lane.eq(end), first.eq(1), self.failed.eq(0),
                ]
                m.next = "ADDRESS"
            with m.State("ADDRESS"):
                m.d.comb += [self.arvalid.eq(self.target != 3), self.awvalid.eq(self.target == 3)]
                with m.If(self.arvalid & self.arready):
                    m.next = "READ"
                with m.If(self.awvalid & self.awready):
                    m.next = "FETCH"
            with m.State("READ"):
                m.d.comb += self.rready.eq(~held | complete)  # none comes behind the last one
                with m.If(self.rready):
                    m.d.sync += [held.eq(self.rvalid), self.beat.eq(self.rdata), resp.eq(self.rresp), last.eq(self.rlast)]
                with m.If(held):
                    m.d.sync += [lane.eq(lane + 1), left.eq(left - 1), one_left.eq(left == 2)]
                with m.If(complete):
                    m.d.sync += lane.eq(0)
                    response(resp)
                    with m.If(last):
                        m.d.sync += [held.eq(0), self.busy.eq(0)]
                        m.next = "IDLE"
            with m.State("FETCH"):
                m.d.comb += self.fetch.eq(1)
                with m.If(self.fetched):
                    m.next = "WRITE" if self._latency == 1 else "ARRIVE"
            if self._latency > 1:
                with m.State("ARRIVE"), m.If(arrived):
                    m.next = "WRITE"
            with m.State("WRITE"):
                m.d.comb += self.wvalid.eq(1)
                with m.If(self.wready):
                    m.d.sync += [first.eq(0), beats_left.eq(beats_left - 1)]
                    m.next = "FETCH"
                    with m.If(self.wlast):
                        m.next = "RESPONSE"
            with m.State("RESPONSE"):
                m.d.comb += self.bready.eq(1)
                with m.If(self.bvalid):
                    response(self.bresp)
                    m.d.sync += self.busy.eq(0)
                    m.next = "IDLE"
        return m
