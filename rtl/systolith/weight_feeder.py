"""Streams weight tiles into the array, one tile ahead of the activations."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.delay import delay
from systolith.ports import WeightReadPort
from systolith.shapes import command_layout
from systolith.window import Level, WindowWalker

__all__ = ["WeightFeeder"]


class WeightFeeder(Component):
    """Read the tiles of COMPUTE commands from the weight buffer, ``rows`` rows of ``cols`` bytes per tile.

    Dataflow: a walker counts the tiles of a command; for each tile the feeder issues ``rows`` reads in
    consecutive cycles, the rows of all tiles of a command lying one behind the other. The array has room for
    one tile besides the active one, so a tile starts when ``advance`` tells that the first vector of the tile
    before is on its way (at once after reset). The next command is accepted as soon as the last tile of a
    command has started, so tiles of consecutive commands come without a gap.

    Parameters
    ----------
    config : AcceleratorConfig
    read_latency : int
        Of the weight buffer.
    lead : int
        Cycles from a pulse of ``advance`` back to the request of the vector it stands for, at least 1; decides
        how soon before the end of a tile ``armed`` comes.

    Members
    -------
    command : ``In(stream.Signature(command_layout("COMPUTE")))``
        Uses the tile counts and ``weights``.
    advance : ``In(1)``
        Pulse: the first vector of the tile started last has been requested ``lead`` cycles ago.
    armed : ``Out(1)``
        Pulse: from the next cycle on the first vector of the tile started last may be requested.
    read : ``Out(WeightReadPort.Signature(config))``
    load, load_row : ``Out(1)``, ``Out(range(rows))``
        The data of the read port are row ``load_row`` of a tile.
    """

    def __init__(self, *, config, read_latency, lead):
        if lead < 1:
            raise ValueError(f"Weight feeder lead must be at least 1, not {lead!r}")
        self._config = config
        self._read_latency = read_latency
        self._lead = lead
        super().__init__({
            "command": In(stream.Signature(command_layout("COMPUTE"))),
            "advance": In(1),
            "armed": Out(1),
            "read": Out(WeightReadPort.Signature(config)),
            "load": Out(1),
            "load_row": Out(range(config.rows)),
        })

    @property
    def config(self):
        """The configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        rows, cols = self.config.rows, self.config.cols
        address_width = ceil_log2(self.config.weight_bytes)
        m.submodules.tiles = tiles = WindowWalker(
            levels=(
                Level(name="block", kind="plain"),
                Level(name="ky", kind="plain", count_width=8),
                Level(name="kx", kind="plain", count_width=8),
                Level(name="chunk", kind="plain"),
            ), context_shape=unsigned(address_width))
        m.d.comb += tiles.load(self.command.payload, context=self.command.payload.weights)
        m.d.comb += [tiles.command.valid.eq(self.command.valid), self.command.ready.eq(tiles.command.ready)]

        # The array can take a tile: its shadow weights are free. `advance` cannot come while rows are being sent,
        # since the vector it stands for had to wait for them.
        free = Signal(init=1)
        start, first_tile = Signal(), Signal()
        m.d.comb += [
            start.eq(tiles.o.valid & (free | self.advance)),
            tiles.o.ready.eq(free | self.advance),
            first_tile.eq(tiles.o.payload.first.as_value().all()),
        ]
        with m.If(start):
            m.d.sync += free.eq(0)
        with m.Elif(self.advance):
            m.d.sync += free.eq(1)

        enable = Signal()
        row = Signal(range(rows))
        address = Signal(address_width, reset_less=True)
        more = Signal()
        m.d.comb += more.eq(enable & (row != rows - 1))
        m.d.sync += enable.eq(start | more)
        with m.If(start):
            m.d.sync += row.eq(0)
        with m.Elif(more):
            m.d.sync += row.eq(row + 1)
        with m.If(start & first_tile):
            m.d.sync += address.eq(tiles.o.payload.context)
        with m.Elif(start | more):
            m.d.sync += address.eq(address + cols)
        m.d.comb += [
            self.read.en.eq(enable),
            self.read.addr.eq(address),
            self.load.eq(delay(m, enable, self._read_latency, name="load", reset_less=False)),
            self.load_row.eq(delay(m, row, self._read_latency, name="load_row")),
        ]

        # A vector requested `lead` cycles before the last row would meet it in the array.
        wait = max(rows - self._lead, 1) - 1
        m.d.comb += self.armed.eq(start if wait == 0 else enable & (row == wait - 1))
        return m
