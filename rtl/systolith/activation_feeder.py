"""Streams activation vectors into the array: window walk, buffer reads, padding."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.column_selector import ColumnSelector
from systolith.delay import delay
from systolith.line_buffer import LineBuffer
from systolith.ports import ActivationReadPort, activation_claim
from systolith.shapes import command_layout
from systolith.window import Level, WindowWalker
from systolith.window_access import WindowAccess
from systolith_spec.column_mode import column_settle
from systolith_spec.timing import MINIMUM_TILE_CYCLES
from systolith_spec.widths import byte_coordinate_width

__all__ = ["ActivationFeeder", "compare_counts", "walk_layout"]

_LOOPS = ("block", "ky", "kx", "chunk", "y", "x")


def walk_layout():
    """A COMPUTE command; ``single`` and ``pair`` tell of each loop whether it has one or two iterations."""
    flags = data.StructLayout({name: 1 for name in _LOOPS})
    return data.StructLayout({"compute": command_layout("COMPUTE"), "single": flags, "pair": flags})


def compare_counts(compute, single, pair):
    """Return assignments of the flags of :func:`walk_layout` for a command ``compute``."""
    return [flags[name].eq(compute[f"{name}_count"] == count) for flags, count in ((single, 1), (pair, 2)) for name in _LOOPS]


class ActivationFeeder(Component):
    """Walk the window of COMPUTE commands and emit one vector per cycle with the accumulator entry it belongs to.

    Dataflow: window walker -> address and lane mask -> read of the activation buffer -> lanes outside the slab
    replaced by ``pad`` -> vector register. The first vector of a tile waits until its weights are loaded
    (``armed``) and ``MINIMUM_TILE_CYCLES`` have passed since the first vector of the tile before, so that no
    accumulator entry is read before it has been written. A refused read leaves a bubble.

    A tile of column mode must have none, since its lines are told by counting cycles: ``urgent`` is high from the
    cycle before its first read to its last, and the buffer then refuses nothing. When lines change their length
    the first vector also waits until the array has finished the sums of the lines before.

    Parameters
    ----------
    config : AcceleratorConfig
    read_latency : int
        Of the activation buffer.
    extra_delay : int
        Registers added behind the vector register, to line vectors up with weights.

    Members
    -------
    command : ``In(stream.Signature(walk_layout()))``
    armed : ``In(1)``
        Pulse: the weights of the next tile are (nearly) loaded.
    tile_requested : ``Out(1)``
        The first vector of a tile is being requested. Comes from the ready of the read port.
    read : ``Out(ActivationReadPort.Signature(config))``
    stall : ``Out(1)``
        A vector waits: for its weights, for the tile before or for its bank.
    urgent : ``Out(1)``
        Reads must not be refused. A register.
    line_offset : ``Out(range(config.line_depth))``
        Length of a line of column mode, for the line buffer. A register.
    vectors : ``Out(stream.Signature(vector_shape, always_ready=True))``
        ``activations``, ``swap`` (first vector of a tile), ``column`` (column mode), ``update`` (gives sums),
        ``entry`` and ``overwrite`` (accumulator update), ``final`` (last vector of its command). ``swap`` and
        ``final`` are low while ``valid`` is low.
    """

    def __init__(self, *, config, read_latency, extra_delay=0):
        self._config = config
        self._read_latency = read_latency
        self._extra_delay = extra_delay
        self._vector_shape = data.StructLayout({
            "activations": data.ArrayLayout(signed(8), config.rows),
            "swap": 1,
            "entry": range(config.accumulator_entries),
            "overwrite": 1,
            "update": 1,
            "column": 1,
            "final": 1,
        })
        super().__init__({
            "command": In(stream.Signature(walk_layout())),
            "armed": In(1),
            "tile_requested": Out(1),
            "read": Out(ActivationReadPort.Signature(config)),
            "stall": Out(1),
            "urgent": Out(1),
            "line_offset": Out(range(config.line_depth)),
            "vectors": Out(stream.Signature(self._vector_shape, always_ready=True)),
        })

    @property
    def config(self):
        """The configuration."""
        return self._config

    @property
    def latency(self):
        """Cycles from an accepted read to its vector."""
        return self._read_latency + 1 + self._extra_delay

    def elaborate(self, platform):
        m = Module()
        access = self._walk(m)
        accepted = self._request(m, access)
        self._respond(m, access, accepted)
        return m

    def _walk(self, m):
        """Add walker and address computation; return the stream of accesses."""
        config = self.config
        address_width = ceil_log2(config.activation_bytes)
        byte_width = byte_coordinate_width(config)
        entry_shape = Shape.cast(range(config.accumulator_entries))
        m.submodules.walker = walker = WindowWalker(
            counts_compared=True,
            levels=(
                Level(name="block", kind="plain"),
                Level(name="ky", kind="row", count_width=8, row_step_width=8),
                Level(name="kx", kind="byte", count_width=8),
                Level(name="chunk", kind="byte", step=config.rows),
                Level(name="y", kind="row"),
                Level(name="x", kind="byte"),
            ),
            address_width=address_width, byte_width=byte_width,
            context_shape=data.StructLayout({
                "pad": signed(8), "rows": 16, "row_bytes": byte_width - 1,
                "accumulate": 1, "accumulator": entry_shape, "block_step": entry_shape,
                **self._column_context(),
            }))
        m.submodules.access = access = WindowAccess(
            lanes=config.rows, address_width=address_width, byte_width=byte_width,
            claim=lambda addr, context: activation_claim(config, addr),
            context_shape=data.StructLayout({
                "pad": signed(8), "swap": 1, "entry": entry_shape, "overwrite": 1, "update": 1, "final": 1,
                **({"column": 1, "settle": 1, "line": range(config.line_depth)} if config.depthwise_streams else {}),
            }))
        command = self.command.payload.compute
        names = {name for name, _ in command.shape()}
        m.d.comb += [
            walker.load(command),
            walker.command.payload.single.eq(self.command.payload.single),
            walker.command.payload.pair.eq(self.command.payload.pair),
            [walker.command.payload.context[name].eq(command[name])
             for name, _ in walker.command.payload.context.shape() if name in names],
            walker.command.valid.eq(self.command.valid),
            self.command.ready.eq(walker.command.ready),
        ]

        position, fields = walker.o.payload, walker.o.payload.context
        first = position.first
        first_of_tile = first.y & first.x
        first_of_block = first.ky & first.kx & first.chunk
        m.d.comb += [
            access.i.valid.eq(walker.o.valid), walker.o.ready.eq(access.i.ready),
            [access.i.payload[name].eq(position[name]) for name in ("row", "row_addr", "byte")],
            [access.i.payload[name].eq(fields[name]) for name in ("rows", "row_bytes")],
            access.i.payload.context.pad.eq(fields.pad),
            access.i.payload.context.swap.eq(first_of_tile),
            access.i.payload.context.overwrite.eq(first_of_block & ~fields.accumulate),
            access.i.payload.context.final.eq(position.over.block),
            # Every position gives a sum. No constant: Verilog's `always @*` for a constant part of a signal never runs.
            access.i.payload.context.update.eq(walker.o.valid),
        ]
        if config.depthwise_streams:
            self._column_mode(m, walker, access)
        self._entries(m, walker, access, first_of_tile, first_of_block)
        return access.o

    def _column_context(self):
        """What a position of the walker carries along for column mode."""
        if not self.config.depthwise_streams:
            return {}
        return {"column_mode": 1, "skip_rows": 8, "no_skip": 1, "valid_columns": 16, "column_step": 8,
                "new_line": 1, "line": range(self.config.line_depth)}

    def _column_mode(self, m, walker, access):
        """Select the positions that give sums; notice that lines change their length."""
        command, loaded = self.command.payload.compute, walker.command.payload.context
        line = Signal.like(loaded.line)
        m.d.comb += [
            loaded.no_skip.eq(command.skip_rows == 0),
            loaded.new_line.eq(loaded.line != line),
            loaded.line.eq(command.x_count + (self.config.depthwise_taps - LineBuffer.base_delay)),
        ]
        m.submodules.selector = selector = ColumnSelector()
        position, fields = walker.o.payload, walker.o.payload.context
        with m.If(walker.o.valid & fields.column_mode):
            m.d.sync += line.eq(fields.line)
        m.d.comb += [
            [getattr(selector, name).eq(fields[name])
             for name in ("skip_rows", "no_skip", "valid_columns", "column_step")],
            selector.first_row.eq(position.first.y),
            selector.first_column.eq(position.first.x),
            selector.last_column.eq(position.last.x),
            selector.take.eq(walker.o.valid & walker.o.ready),
            access.i.payload.context.update.eq(~fields.column_mode | selector.selected),
            access.i.payload.context.column.eq(fields.column_mode),
            access.i.payload.context.settle.eq(fields.new_line & position.first.as_value().all()),
            access.i.payload.context.line.eq(fields.line),
        ]

    def _entries(self, m, walker, access, first_of_tile, first_of_block):
        """Number the accumulator entries."""
        first, fields = walker.o.payload.first, walker.o.payload.context

        # Entries count up through a tile; every tile of a block starts again at the block's first entry.
        entry = access.i.payload.context.entry
        entry_shape = entry.shape()
        previous_entry = Signal(entry_shape, reset_less=True)
        previous_update = Signal(reset_less=True)
        block_entry = Signal(entry_shape, reset_less=True)
        block_entry_next = Signal(entry_shape)
        m.d.comb += block_entry_next.eq(Mux(first.block, fields.accumulator, block_entry + fields.block_step))
        with m.If(first_of_tile & first_of_block):
            m.d.comb += entry.eq(block_entry_next)
        with m.Elif(first_of_tile):
            m.d.comb += entry.eq(block_entry)
        with m.Else():
            m.d.comb += entry.eq(previous_entry + previous_update)
        with m.If(walker.o.valid & walker.o.ready):
            m.d.sync += [previous_entry.eq(entry), previous_update.eq(access.i.payload.context.update)]
            with m.If(first_of_tile & first_of_block):
                m.d.sync += block_entry.eq(block_entry_next)

    def _request(self, m, access):
        """Issue reads; return the signal that tells that one has been accepted."""
        swap = access.payload.context.swap
        accepted, stopped = Signal(), Signal()
        begin = self._tile_may_begin(m, accepted & swap, stopped & ~swap) & self._settled(m, access, accepted)
        go = ~swap | begin
        m.d.comb += [
            self.read.valid.eq(access.valid & go),
            self.read.addr.eq(access.payload.addr),
            self.read.claim.eq(access.payload.claim),
            accepted.eq(self.read.valid & self.read.ready),
            # Without `valid`, which the receiver of this looks at anyway.
            access.ready.eq(go & self.read.ready),
            self.tile_requested.eq(accepted & swap),
            stopped.eq(access.valid & ~accepted),
        ]
        m.d.sync += self.stall.eq(stopped)
        return accepted

    def _tile_may_begin(self, m, requested, held):
        """Whether the next tile may begin as far as its weights and the distance to the tile before are concerned.

        A vector of a tile that is refused (``held``) delays all accumulator updates behind it, so the count of cycles waits
        with it. Both signals come late and are looked at from registers, a cycle after.
        """
        s1_requested, s1_held, s1_armed = Signal(), Signal(), Signal()
        m.d.sync += [s1_requested.eq(requested), s1_held.eq(held), s1_armed.eq(self.armed)]
        weights_ready = Signal()
        next_ready = self.armed | (weights_ready & ~(s1_requested & ~s1_armed))
        # Cycles to wait, without knowledge of the last one; `none` and `one` are registers of their own.
        left = Signal(range(MINIMUM_TILE_CYCLES))
        none, one = Signal(init=1), Signal()
        next_none, next_one = Signal(), Signal()
        m.d.comb += [next_none.eq(none), next_one.eq(one)]
        with m.If(s1_requested):
            m.d.comb += [next_none.eq(0), next_one.eq(MINIMUM_TILE_CYCLES == 2)]
            m.d.sync += left.eq(MINIMUM_TILE_CYCLES - 1)
        with m.Elif(~none & ~s1_held):
            m.d.comb += [next_none.eq(one), next_one.eq(left == 2)]
            m.d.sync += left.eq(left - 1)
        # Registers: weights are ready and there are no cycles to wait; weights are ready and there is one.
        ready_none, ready_one = Signal(), Signal()
        m.d.sync += [
            weights_ready.eq(next_ready), none.eq(next_none), one.eq(next_one),
            ready_none.eq(next_ready & next_none), ready_one.eq(next_ready & next_one),
        ]
        return ~s1_requested & (ready_none | (ready_one & ~s1_held))

    def _settled(self, m, access, accepted):
        """Whether a tile may begin as far as column mode is concerned; drive what it needs around the array."""
        config, context = self.config, access.payload.context
        if not config.depthwise_streams:
            return Const(1)
        cycles = column_settle(config, read_latency=self._read_latency + self._extra_delay)
        # `left` of the latest read in column mode is 0, and there was none a cycle ago.
        left, settled = Signal(range(cycles)), Signal(init=1)
        s1_column, s1_line = Signal(), Signal.like(context.line, reset_less=True)
        m.d.sync += [
            self.urgent.eq(access.valid & context.column), s1_column.eq(accepted & context.column), s1_line.eq(context.line)]
        with m.If(s1_column):
            m.d.sync += [left.eq(cycles - 1), self.line_offset.eq(s1_line)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        m.d.sync += settled.eq(~s1_column & (left <= 1) & ~(accepted & context.column))
        return ~context.column | (self.urgent & (~context.settle | settled))

    def _respond(self, m, access, accepted):
        """Bring what accompanies a read together with its data and fill in the padding."""
        rows, latency = self.config.rows, self._read_latency
        request = access.payload
        valid = delay(m, accepted, latency, name="valid", reset_less=False)
        mask = delay(m, request.mask, latency, name="mask")
        context = request.context.shape()(delay(m, request.context, latency, name="context"))

        vector = Signal(self._vector_shape, reset_less=True)
        vector_valid, swap, final = Signal(), Signal(), Signal()
        m.d.sync += [
            vector_valid.eq(valid),
            swap.eq(valid & context.swap),
            final.eq(valid & context.final),
            vector.entry.eq(context.entry),
            vector.overwrite.eq(context.overwrite),
            vector.update.eq(context.update),
            vector.column.eq(context.column if self.config.depthwise_streams else 0),
        ]
        for row in range(rows):
            m.d.sync += vector.activations[row].eq(
                Mux(mask[row], self.read.data.word_select(row, 8).as_signed(), context.pad))

        extra = self._extra_delay
        m.d.comb += [
            self.vectors.payload.eq(delay(m, vector, extra, name="vector")),
            self.vectors.valid.eq(delay(m, vector_valid, extra, name="vector_valid", reset_less=False)),
            self.vectors.payload.swap.eq(delay(m, swap, extra, name="swap", reset_less=False)),
            self.vectors.payload.final.eq(delay(m, final, extra, name="final", reset_less=False)),
        ]
