"""Rows of one column of the array whose products share DSP cells."""

from types import SimpleNamespace

from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.primitives.families import MULTIPLIER_PAIRS, MULTIPLY_ADDS
from systolith.processing_element import ProcessingElement, add_operand_registers, operand_members, partial_sum_shape
from systolith_spec.timing import MULTIPLIER_LATENCY

__all__ = ["PairedGroup", "ProcessingGroup", "SummingGroup", "processing_group"]


class ProcessingGroup(Component):
    """Several :class:`~systolith.processing_element.ProcessingElement` of one column, one above the other.

    Ports and timing are those of the elements, so that an array may have both; only the sums between the rows of the
    group stay inside. Subclasses multiply and add.

    Parameters
    ----------
    row : int
        Row of the uppermost element.
    count : int
        Rows.
    style : str
        FPGA family, see :data:`~systolith.multiplier.MULTIPLIER_STYLES`.
    column_mode : bool
        Build the second source of activations.

    Members
    -------
    As those of an element, those of row i with the suffix ``_<i>``, but for the sums, of which there is one in and out.
    """

    latency = ProcessingElement.latency

    def __init__(self, *, row, count, style="generic", column_mode=False):
        self._row = row
        self._count = count
        self._style = style
        self._column_mode = column_mode
        self._names = tuple(operand_members(column_mode))
        super().__init__({
            "partial_sum": In(partial_sum_shape(row - 1)),
            "partial_sum_next": Out(partial_sum_shape(row + count - 1)),
            **{f"{name}_{index}": member for index in range(count)
               for name, member in operand_members(column_mode).items()},
        })

    @property
    def count(self):
        """Rows."""
        return self._count

    def element(self, index):
        """The members of row ``index`` under the names that an element has; sums at the ends of the group only."""
        members = {name: getattr(self, f"{name}_{index}") for name in self._names}
        if index == 0:
            members["partial_sum"] = self.partial_sum
        if index == self.count - 1:
            members["partial_sum_next"] = self.partial_sum_next
        return SimpleNamespace(**members)

    def elaborate(self, platform):
        m = Module()
        operands = []
        for index in range(self.count):
            m.submodules[f"operands_{index}"] = registers = Module()
            operands.append(add_operand_registers(registers, self.element(index), self._column_mode))
        self._multiply(m, operands)
        return m

    def _multiply(self, m, operands):
        """Add what follows the operand registers, each row's one cycle behind those of the row above."""
        raise NotImplementedError


class PairedGroup(ProcessingGroup):
    """Two rows whose products share a DSP cell; the sums are added in the fabric."""

    def __init__(self, *, row, style="generic", column_mode=False):
        super().__init__(row=row, count=2, style=style, column_mode=column_mode)

    def _multiply(self, m, operands):
        m.submodules.multipliers = products = MULTIPLIER_PAIRS[self._style](latency=MULTIPLIER_LATENCY)
        total = self.partial_sum
        for index, (activation, weight) in enumerate(operands):
            m.d.comb += [products.a[index].eq(activation), products.b[index].eq(weight)]
            s4_sum = Signal(partial_sum_shape(self._row + index), name=f"s4_sum_{index}", reset_less=True)
            m.d.sync += s4_sum.eq(total + products.p[index])
            total = s4_sum
        m.d.comb += self.partial_sum_next.eq(total)


class SummingGroup(ProcessingGroup):
    """Rows whose products and sums are made in DSP cells: no LUTs.

    All products of a cell are added in the same cycle, so operands wait for those of the lowest row: activations in
    shift registers, weights in one register each, which follows the active weight with the delayed ``swap``. Swaps of
    a row must be at least ``count`` cycles apart.
    """

    def __init__(self, *, row, style="generic", column_mode=False):
        super().__init__(row=row, count=MULTIPLY_ADDS[style].count, style=style, column_mode=column_mode)

    def _multiply(self, m, operands):
        m.submodules.sum = cell = MULTIPLY_ADDS[self._style](shape=partial_sum_shape(self._row + self.count - 1))
        for index, (activation, weight) in enumerate(operands):
            wait = self.count - index
            held = Signal(signed(8), name=f"held_{index}", reset_less=True)
            swap = getattr(self, f"swap_next_{index}")
            with m.If(delay(m, swap, wait - 1, name=f"swap_{index}", reset_less=False)):
                m.d.sync += held.eq(weight)
            m.d.comb += [
                cell.a[index].eq(delay(m, activation, wait, name=f"activation_{index}")),
                cell.b[index].eq(held),
            ]
        m.d.comb += [
            cell.addend.eq(delay(m, self.partial_sum, self.count - cell.addend_latency, name="partial_sum")),
            self.partial_sum_next.eq(cell.total),
        ]


def processing_group(*, style, sums):
    """Return the class of the groups of a style, or None where rows need no groups.

    Parameters
    ----------
    style : str
    sums : bool
        Add in DSP cells too.
    """
    if sums:
        return SummingGroup
    return PairedGroup if style == "ice40" else None
