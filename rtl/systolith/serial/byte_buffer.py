"""Activation buffer of the serial accelerator: written by bytes, read by unaligned vectors."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import exact_log2

__all__ = ["ByteBuffer"]


class ByteBuffer(Component):
    """RAM of bytes in columns, one for each lane of a vector: byte i is in column i modulo the lanes.

    Parameters
    ----------
    size : int
        Bytes, a power of two.
    lanes : int
        Bytes of a vector, a power of two.

    Members
    -------
    read : ``In(1)``, read_address : ``In``, taken : ``Out(1)``
        Read a vector; it is taken at once.
    vector : ``Out(8 * lanes)``
        Its bytes from the next cycle on; addresses wrap at the size.
    write : ``In(1)``, write_address : ``In``, byte : ``In(8)``
        Write a byte.
    """

    latency = 1
    """Cycles from ``taken`` to the vector."""

    def __init__(self, *, size, lanes):
        self._size, self._lanes = size, lanes
        width = exact_log2(size)
        super().__init__({
            "read": In(1), "read_address": In(width), "taken": Out(1), "vector": Out(8 * lanes),
            "write": In(1), "write_address": In(width), "byte": In(8),
        })

    def elaborate(self, platform):
        m = Module()
        shift = exact_log2(self._lanes)
        word, first = self.read_address[shift:], self.read_address[:shift]
        next_word = Signal.like(word)
        m.d.comb += [next_word.eq(word + 1), self.taken.eq(1)]
        s1_first = Signal(shift, reset_less=True)
        with m.If(self.read):
            m.d.sync += s1_first.eq(first)
        columns = []
        for lane in range(self._lanes):
            memory = Memory(shape=8, depth=self._size // self._lanes, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"column_{lane}"] = memory
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.en.eq(self.read),
                read.addr.eq(Mux(first > lane, next_word, word)),
                write.en.eq(self.write & (self.write_address[:shift] == lane)),
                write.addr.eq(self.write_address[shift:]),
                write.data.eq(self.byte),
            ]
            columns.append(read.data)
        m.d.comb += self.vector.eq(Cat(
            Array(columns[(lane + offset) % self._lanes] for offset in range(self._lanes))[s1_first]
            for lane in range(self._lanes)))
        return m
