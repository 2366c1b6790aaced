"""Results of the vector unit, each with its destination."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from systolith.fill_level import FillLevel

__all__ = ["ResultQueue"]


class ResultQueue(Component):
    """Two memories, one written with destinations and later, in the same order, one with results; read together.

    ``valid`` comes from a register and depends on the results alone: the destination of a result is there long before. There
    is no flow control on the inputs; the parent counts what is on the way.

    Parameters
    ----------
    destination_shape, result_shape : shape-like
    depth : int
        Most results, and most destinations, in the queue.

    Members
    -------
    destination_valid, result_valid : ``In(1)``
    destination, result : ``In``
        In the shapes above. A destination must be written at least a cycle before its result.
    o : ``Out(stream.Signature(StructLayout({"destination", "result"})))``

    Raises
    ------
    ValueError
        If the depth is less than 2.
    """

    latency = 1
    """Cycles from a result to the same result on ``o``."""

    def __init__(self, *, destination_shape, result_shape, depth):
        if not isinstance(depth, int) or depth < 2:
            raise ValueError(f"Result queue depth must be an integer of at least 2, not {depth!r}")
        self._depth = depth
        self._shapes = {"destination": destination_shape, "result": result_shape}
        super().__init__({
            **{f"{name}_valid": In(1) for name in self._shapes},
            **{name: In(shape) for name, shape in self._shapes.items()},
            "o": Out(stream.Signature(data.StructLayout(self._shapes))),
        })

    @property
    def depth(self):
        """Most results in the queue."""
        return self._depth

    def elaborate(self, platform):
        m = Module()
        read_index = Signal(range(self.depth))
        m.submodules.results = results = FillLevel(depth=self.depth)
        m.d.comb += [
            results.put.eq(self.result_valid),
            results.take.eq(self.o.valid & self.o.ready),
            self.o.valid.eq(results.some),
        ]
        for name, shape in self._shapes.items():
            m.submodules[name] = memory = Memory(shape=shape, depth=self.depth, init=[])
            write_port, read_port = memory.write_port(), memory.read_port(domain="comb")
            write_index = Signal(range(self.depth), name=f"{name}_index")
            present = getattr(self, f"{name}_valid")
            with m.If(present):
                m.d.sync += write_index.eq(self._next(write_index))
            m.d.comb += [
                write_port.addr.eq(write_index),
                write_port.data.eq(getattr(self, name)),
                write_port.en.eq(present),
                read_port.addr.eq(read_index),
                self.o.payload[name].eq(read_port.data),
            ]
        with m.If(results.take):
            m.d.sync += read_index.eq(self._next(read_index))
        return m

    def _next(self, index):
        return Mux(index == self.depth - 1, 0, index + 1)
