"""Activation buffer of the serial accelerator in a RAM with one port, such as the SPRAM of the iCE40 UltraPlus."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

from systolith.delay import delay
from systolith.primitives.families import SINGLE_PORT_RAMS
from systolith.primitives.single_port_ram import SinglePortRam

__all__ = ["SinglePortByteBuffer"]

_WORD_BYTES = 2


class SinglePortByteBuffer(Component):
    """RAM of 16-bit words with one port: written by bytes, read by unaligned vectors, a word per cycle.

    ::

        cycle            0        1        2        3        4        5
        read address     A ------------------>                           A odd, 4 lanes
        taken                              x
        RAM access                word 0   word 1   word 2
        RAM output                                  word 0   word 1   word 2 = vector

    A vector is ``lanes / 2`` words, and one more at an odd address. Words move through a shift register whose newest is the
    output register of the RAM; whether the vector begins with the upper byte of its first word is all that is left to select.

    A byte to be written waits in a register for a cycle in which no word is read. Its writer sees to it that such a cycle
    comes before the next byte: bytes of a burst come one per cycle, while nothing is read; between the results of windows
    there is the end of a walk at least.

    Parameters
    ----------
    size : int
        Bytes, a power of two.
    lanes : int
        Bytes of a vector, a power of two, at least 4.
    style : str
        Family whose RAM is used, see :data:`~systolith.primitives.families.SINGLE_PORT_RAMS`.

    Members
    -------
    read : ``In(1)``, read_address : ``In``, taken : ``Out(1)``
        Read a vector. Both are held until ``taken``; another may follow in the next cycle. Without ``read`` the vector is
        forgotten.
    vector : ``Out(8 * lanes)``
        Its bytes :data:`latency` cycles after ``taken``, until another is read or a byte written; addresses wrap at the size.
    write : ``In(1)``, write_address : ``In``, byte : ``In(8)``
        Write a byte.
    """

    latency = 1 + SinglePortRam.read_latency
    """Cycles from ``taken`` to the vector."""

    def __init__(self, *, size, lanes, style="generic"):
        self._size, self._lanes, self._style = size, lanes, style
        width = exact_log2(size)
        super().__init__({
            "read": In(1), "read_address": In(width), "taken": Out(1), "vector": Out(8 * lanes),
            "write": In(1), "write_address": In(width), "byte": In(8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = SINGLE_PORT_RAMS[self._style](
            width=8 * _WORD_BYTES, depth=self._size // _WORD_BYTES, granularity=8)
        words = self._lanes // _WORD_BYTES
        odd = self.read_address[0]
        number = Signal(range(words + 1))
        s1_read, s1_odd = Signal(), Signal(reset_less=True)
        s1_word = Signal(ram.addr.shape(), reset_less=True)
        m.d.comb += self.taken.eq(self.read & (number == Mux(odd, words, words - 1)))
        m.d.sync += [number.eq(Mux(self.read & ~self.taken, number + 1, 0)), s1_read.eq(self.read)]
        with m.If(self.read):
            m.d.sync += [s1_word.eq(Mux(number == 0, self.read_address[1:], s1_word + 1)), s1_odd.eq(odd)]

        place, byte, waiting = Signal.like(self.write_address, reset_less=True), Signal(8, reset_less=True), Signal()
        m.d.sync += waiting.eq(self.write | (waiting & s1_read))
        with m.If(self.write):
            m.d.sync += [place.eq(self.write_address), byte.eq(self.byte)]
        m.d.comb += [
            ram.addr.eq(Mux(s1_read, s1_word, place[1:])),
            ram.en.eq(s1_read | waiting),
            ram.w_en.eq(Mux(s1_read, 0, Cat(~place[0], place[0]) & waiting.replicate(2))),
            ram.w_data.eq(byte.replicate(2)),
        ]

        # The words move when another is about to enter the output register.
        arriving = delay(m, s1_read, SinglePortRam.read_latency - 1, name="arriving", reset_less=False)
        window = [ram.r_data]
        for age in range(1, words + 1):
            word = Signal(8 * _WORD_BYTES, name=f"word_{age}", reset_less=True)
            with m.If(arriving):
                m.d.sync += word.eq(window[-1])
            window.append(word)
        shifted = delay(m, s1_odd, SinglePortRam.read_latency, name="odd")
        bytes_ = Cat(reversed(window))
        even, width = bytes_[8 * _WORD_BYTES:], 8 * self._lanes
        m.d.comb += self.vector.eq(Mux(shifted, bytes_[8:8 + width], even))
        return m
