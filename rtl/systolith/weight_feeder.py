"""Streams weight tiles into the array, one tile ahead of the activations."""

from amaranth import *
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.delay import delay
from systolith.ports import WeightReadPort
from systolith.shapes import command_layout
from systolith.window import Level, WindowWalker
from systolith_spec.timing import WEIGHT_ROWS, tile_load_cycles

__all__ = ["WeightFeeder"]


class WeightFeeder(Component):
    """Read the tiles of COMPUTE commands from the weight buffer, ``rows`` rows of ``cols`` bytes per tile.

    Dataflow: a walker counts the tiles of a command; for each tile the feeder reads two rows at a time in
    consecutive cycles, the rows of all tiles of a command lying one behind the other. (With an odd number of
    rows the last read also brings what lies behind the tile; the array has no row for it.) The array has room
    for one tile besides the active one, so a tile starts when ``advance`` tells that the first vector of the
    tile before is on its way (at once after reset) and the rows of the tile before have been read. The next
    command is accepted as soon as the last tile of a command has started, so tiles of consecutive commands come
    without a gap.

    Parameters
    ----------
    config : AcceleratorConfig
    read_latency : int
        Of the weight buffer.
    lead : int
        Cycles from a pulse of ``advance`` back to the request of the vector it stands for, at least 1.

    Members
    -------
    command : ``In(stream.Signature(command_layout("COMPUTE")))``
        Uses the tile counts and ``weights``.
    advance : ``In(1)``
        Pulse: the first vector of the tile started last has been requested ``lead`` cycles ago.
    armed : ``Out(1)``
        Pulse: a tile starts, and from the next cycle on its first vector may be requested. Each row of weights is in
        place just before the vector comes to that row.
    read : ``Out(WeightReadPort.Signature(config))``
    load, load_pair : ``Out(1)``, ``Out(range(ceil(rows / 2)))``
        The data of the read port are rows 2 * ``load_pair`` and 2 * ``load_pair`` + 1 of a tile.
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
            "load_pair": Out(range(tile_load_cycles(config))),
        })

    @property
    def config(self):
        """The configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        loads, row_bytes = tile_load_cycles(self.config), self.config.cols
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

        # The array can take a tile: the first vector of the tile before takes its weights along.
        free = Signal(init=1)
        # `more`: `pair` is being read and is not the last one. A register, as it decides upon the next command.
        start, more, first_tile = Signal(), Signal(), Signal()
        m.d.comb += [
            tiles.o.ready.eq((free | self.advance) & ~more),
            start.eq(tiles.o.valid & tiles.o.ready),
            first_tile.eq(tiles.o.payload.first.as_value().all()),
        ]
        with m.If(start):
            m.d.sync += free.eq(0)
        with m.Elif(self.advance):
            m.d.sync += free.eq(1)

        enable = Signal()
        pair = Signal(range(loads))
        address = Signal(address_width, reset_less=True)
        m.d.sync += enable.eq(start | more)
        with m.If(start):
            m.d.sync += [pair.eq(0), more.eq(int(loads > 1))]
        with m.Elif(more):
            m.d.sync += [pair.eq(pair + 1), more.eq(pair != loads - 2)]
        with m.If(start & first_tile):
            m.d.sync += address.eq(tiles.o.payload.context)
        with m.Elif(more):
            m.d.sync += address.eq(address + WEIGHT_ROWS * row_bytes)
        with m.Elif(start):
            m.d.sync += address.eq(address + (self.config.rows - WEIGHT_ROWS * (loads - 1)) * row_bytes)
        m.d.comb += [
            self.read.en.eq(enable),
            self.read.addr.eq(address),
            self.load.eq(delay(m, enable, self._read_latency, name="load", reset_less=False)),
            self.load_pair.eq(delay(m, pair, self._read_latency, name="load_pair")),
            self.armed.eq(start),
        ]
        return m
