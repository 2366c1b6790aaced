"""Order in which a VECTOR command visits its elements, with source and destination addresses."""

from amaranth import *
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for, ceil_log2

from systolith.ports import activation_claim
from systolith.shapes import command_layout
from systolith.vector_constants import SLOT_WIDTH
from systolith.vector_element import issue_layout
from systolith.window import Level, WindowWalker
from systolith.window_access import WindowAccess
from systolith_spec.widths import byte_coordinate_width, row_bytes_width

__all__ = ["VectorWalk", "compare_counts", "walk_layout"]

_CONSTANTS = (
    "source",
    "bank",
    "fence",
    "rows",
    "row_bytes",
    "block_step",
    "destination_x",
    "destination_y",
)


_LOOPS = ("y", "x", "group", "ky", "kx")


def _loops(config):
    """Names of the loops, outermost first."""
    return _LOOPS if config.pooling else _LOOPS[:3]


def walk_layout(config):
    """A VECTOR command with its number of groups, the lanes of the last group and the slot of its constants.

    ``single`` and ``pair`` tell of each loop whether it has one or two iterations, see :func:`compare_counts`.
    """
    flags = data.StructLayout({name: 1 for name in _loops(config)})
    return data.StructLayout(
        {
            "vector": command_layout("VECTOR"),
            "groups": row_bytes_width(config),
            "tail": bits_for(config.vector_lanes),
            "slot": SLOT_WIDTH,
            "single": flags,
            "pair": flags,
        }
    )


def compare_counts(config, vector, single, pair):
    """Return assignments of the flags of :func:`walk_layout` for a command ``vector``."""
    lanes = config.vector_lanes
    statements = [
        *(flags[name].eq(vector[f"{name}_count"] == count)
          for flags, count in ((single, 1), (pair, 2)) for name in ("y", "x")),
        single.group.eq(vector.channels <= lanes),
        pair.group.eq((vector.channels > lanes) & (vector.channels <= 2 * lanes)),
    ]
    if config.pooling:
        # An accumulator source has no window.
        for name in ("ky", "kx"):
            count = vector[f"{name}_count"]
            statements += [
                single[name].eq(~vector.source | (count == 1)), pair[name].eq(vector.source & (count == 2)),
            ]
    return statements


class VectorWalk(Component):
    """Visit (y, x, group, ky, kx), kx fastest, one element per cycle and without gaps between commands.

    The window walker supplies the loops. Beside it, the accumulator entry and the destination address are
    counted with one adder each; an accumulator source has a single element per result. Addresses and masks
    are computed in a pipeline behind, of ``latency`` cycles.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command : ``In(stream.Signature(walk_layout(config)))``
        The payload should come from registers.
    o : ``Out(stream.Signature(StructLayout({"addr": ..., "claim": activation_banks, "issue": issue_layout(config)})))``
        ``addr`` is a byte address or an accumulator entry; ``claim`` the banks of a byte address, otherwise 0.
    """

    def __init__(self, *, config):
        self._config = config
        # Of bytes in the activation buffer or entries in the accumulator buffer.
        self._address_width = ceil_log2(max(config.activation_bytes, config.accumulator_entries))
        super().__init__(
            {
                "command": In(stream.Signature(walk_layout(config))),
                "o": Out(
                    stream.Signature(
                        data.StructLayout({
                            "addr": self._address_width, "claim": config.activation_banks, "issue": issue_layout(config)})
                    )
                ),
            }
        )

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def latency(self):
        """Cycles from an accepted command to its first element."""
        return 1 + (WindowAccess.latency if self._config.pooling else 0)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        vector = self.command.payload.vector
        window = config.pooling
        constants = data.StructLayout(
            {
                **{name: vector.shape()[name].shape for name in _CONSTANTS},
                "row_bytes": row_bytes_width(config),
                "tail": bits_for(config.vector_lanes),
                "slot": SLOT_WIDTH,
            }
        )
        group_width = row_bytes_width(config)
        levels = [
            Level(name="y", kind="row"),
            Level(name="x", kind="byte"),
            Level(name="group", kind="byte", step=config.vector_lanes, count_width=group_width, index=True),
            Level(name="ky", kind="row", count_width=8, row_step_width=8),
            Level(name="kx", kind="byte", count_width=8, index=True),
        ]
        if not window:
            levels = [
                Level(name=level.name, kind="plain", count_width=level.count_width, index=level.index)
                for level in levels[:3]
            ]
        m.submodules.walker = walker = WindowWalker(
            levels=levels,
            address_width=self._address_width,
            byte_width=byte_coordinate_width(config),
            context_shape=constants,
            counts_compared=True,
        )
        m.d.comb += [
            walker.command.payload.single.eq(self.command.payload.single),
            walker.command.payload.pair.eq(self.command.payload.pair),
            walker.command.valid.eq(self.command.valid),
            self.command.ready.eq(walker.command.ready),
            walker.load(
                vector,
                group_count=self.command.payload.groups,
                **(
                    {f"{name}_count": Mux(vector.source, vector[f"{name}_count"], 1) for name in ("ky", "kx")}
                    if window
                    else {}
                ),
            ),
            *(walker.command.payload.context[name].eq(vector[name]) for name in _CONSTANTS),
            *(walker.command.payload.context[name].eq(self.command.payload[name]) for name in ("tail", "slot")),
        ]
        # The counters are loaded whenever the walker may take a command: no need to look at command.valid.
        fresh = walker.o.payload.over.y | ~walker.o.valid
        entry, column_group = self._count_entries(m, walker, fresh)
        addr = self._count_destinations(m, walker, fresh)
        issue = self._describe(m, walker, addr, column_group)
        self._address(m, walker, entry, issue)
        return m

    def _flags(self, walker):
        """Reduction, pixel, row and all rows of the position are complete; each includes those behind it."""
        over = walker.o.payload.over
        return over.ky if self.config.pooling else Const(1), over.group, over.x, over.y

    def _moves(self, walker, over):
        """Whether what counts ``over`` changes: there is no position, or it is consumed and ``over``."""
        return ~walker.o.valid | (walker.o.ready & over)

    def _count_entries(self, m, walker, fresh):
        """Accumulator entry of the position and group within it."""
        blocks = self.config.cols // self.config.vector_lanes
        entry, pixel = Signal(16, reset_less=True), Signal(16, reset_less=True)
        column_group = Signal(range(blocks), reset_less=True)
        end, pixel_over, _, _ = self._flags(walker)
        next_pixel = (pixel + 1)[:16]
        base = self.command.payload.vector.base
        with m.If(self._moves(walker, pixel_over)):
            m.d.sync += pixel.eq(Mux(fresh, base, next_pixel))
        with m.If(self._moves(walker, end)):
            with m.If(fresh):
                m.d.sync += [entry.eq(base), column_group.eq(0)]
            with m.Elif(pixel_over):
                m.d.sync += [entry.eq(next_pixel), column_group.eq(0)]
            with m.Elif(column_group == blocks - 1):
                m.d.sync += [entry.eq(entry + walker.o.payload.context.block_step), column_group.eq(0)]
            with m.Else():
                m.d.sync += column_group.eq(column_group + 1)
        return entry, column_group

    def _count_destinations(self, m, walker, fresh):
        """Address of the result of the position."""
        context = walker.o.payload.context
        width = ceil_log2(self.config.activation_bytes)
        row, pixel, addr = (
            Signal(width, name=f"destination_{name}", reset_less=True)
            for name in ("row", "pixel", "addr")
        )
        end, pixel_over, row_over, _ = self._flags(walker)
        next_row = (row + context.destination_y)[:width]
        next_pixel = (pixel + context.destination_x)[:width]
        start = self.command.payload.vector.destination
        with m.If(self._moves(walker, row_over)):
            m.d.sync += row.eq(Mux(fresh, start, next_row))
        for value, moves, step in ((pixel, pixel_over, next_pixel), (addr, end, addr + self.config.vector_lanes)):
            with m.If(self._moves(walker, moves)):
                with m.If(fresh):
                    m.d.sync += value.eq(start)
                with m.Elif(row_over):
                    m.d.sync += value.eq(next_row)
                if value is addr:
                    with m.Elif(pixel_over):
                        m.d.sync += value.eq(next_pixel)
                with m.Else():
                    m.d.sync += value.eq(step)
        return addr

    def _describe(self, m, walker, addr, column_group):
        """Everything about the position but its address and mask."""
        position = walker.o.payload
        context = position.context
        end, _, _, over = self._flags(walker)
        issue = Signal(issue_layout(self.config))
        element, destination = issue.element, issue.destination
        m.d.comb += [
            issue.fence.eq(context.fence & position.first.as_value().all()),
            *(element[name].eq(context[name]) for name in ("source", "bank", "slot")),
            element.first.eq(1),
            element.last.eq(end),
            element.group.eq(position.index.group),
            element.column_group.eq(column_group),
            destination.addr.eq(addr),
            destination.lanes.eq(Mux(position.last.group, context.tail, self.config.vector_lanes)),
            destination.bank.eq(context.bank),
            destination.command_last.eq(over),
        ]
        if self.config.pooling:
            m.d.comb += [
                element.first.eq(position.first.ky & position.first.kx),
                element.odd.eq(position.index.kx[0]),
            ]
        return issue

    def _address(self, m, walker, entry, issue):
        """Byte addresses and masks by :class:`WindowAccess`, which passes accumulator entries through."""
        position = walker.o.payload
        if not self.config.pooling:
            m.d.comb += [
                self.o.valid.eq(walker.o.valid),
                walker.o.ready.eq(self.o.ready),
                self.o.payload.addr.eq(entry),
                self.o.payload.issue.eq(issue),
            ]
            return
        m.submodules.access = access = WindowAccess(
            lanes=self.config.vector_lanes,
            address_width=self._address_width,
            byte_width=byte_coordinate_width(self.config),
            context_shape=issue_layout(self.config),
            claim=lambda addr, issue: Mux(issue.element.source, activation_claim(self.config, addr), 0),
        )
        byte_address = position.context.source
        m.d.comb += [
            access.i.valid.eq(walker.o.valid),
            walker.o.ready.eq(access.i.ready),
            access.i.payload.row.eq(position.row),
            access.i.payload.row_addr.eq(Mux(byte_address, position.row_addr, entry)),
            access.i.payload.byte.eq(Mux(byte_address, position.byte, 0)),
            access.i.payload.rows.eq(position.context.rows),
            access.i.payload.row_bytes.eq(position.context.row_bytes),
            access.i.payload.context.eq(issue),
            self.o.valid.eq(access.o.valid),
            access.o.ready.eq(self.o.ready),
            self.o.payload.addr.eq(access.o.payload.addr),
            self.o.payload.claim.eq(access.o.payload.claim),
            self.o.payload.issue.eq(access.o.payload.context),
            self.o.payload.issue.element.mask.eq(access.o.payload.mask),
        ]
