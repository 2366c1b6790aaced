"""One multiplier of the systolic array, with its weight and partial-sum registers."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.multiplier import multiplier
from systolith.primitives.families import LUT_MULTIPLIERS
from systolith_spec.timing import MULTIPLIER_LATENCY

__all__ = ["ProcessingElement", "add_operand_registers", "operand_members", "partial_sum_shape"]


def partial_sum_shape(row):
    """Shape of the sum that leaves row ``row``: 16 + ceil(log2(row + 1)) bits, enough for row + 1 products.

    Parameters
    ----------
    row : int
        Row index from 0 (top); negative for what enters row 0.
    """
    return signed(16 + ceil_log2(max(row, 0) + 1))


def operand_members(column_mode):
    """Signature members for operands and flags of an element, without its sums."""
    return {
        "activation": In(signed(8)),
        "activation_next": Out(signed(8)),
        "swap": In(1),
        "swap_next": Out(1),
        "weight": In(signed(8)),
        "weight_next": Out(signed(8)),
        "latch": In(1),
        "latch_next": Out(1),
        **({"column_activation": In(signed(8)), "column": In(1), "column_next": Out(1)} if column_mode else {}),
    }


def add_operand_registers(m, element, column_mode):
    """Add the registers of activation, weights and flags to ``m``, between the members of an element.

    Returns
    -------
    tuple of Signal
        Activation and active weight, one cycle behind the inputs.
    """
    s0_activation = Signal(signed(8), reset_less=True)
    s0_swap, s0_latch = Signal(), Signal()
    activation = element.activation
    if column_mode:
        s0_column = Signal()
        m.d.sync += s0_column.eq(element.column)
        m.d.comb += element.column_next.eq(s0_column)
        activation = Mux(element.column, element.column_activation, element.activation)
    m.d.sync += [s0_activation.eq(activation), s0_swap.eq(element.swap), s0_latch.eq(element.latch)]
    m.d.comb += [
        element.activation_next.eq(s0_activation),
        element.swap_next.eq(s0_swap),
        element.latch_next.eq(s0_latch),
    ]
    travelling = Signal(signed(8), reset_less=True)
    shadow = Signal(signed(8), reset_less=True)
    active = Signal(signed(8), reset_less=True)
    m.d.sync += travelling.eq(element.weight)
    m.d.comb += element.weight_next.eq(travelling)
    with m.If(element.latch):
        m.d.sync += shadow.eq(element.weight)
    with m.If(element.swap):
        m.d.sync += active.eq(shadow)
    return s0_activation, active


class ProcessingElement(Component):
    """Weight-stationary int8 multiply-accumulate cell.

    Dataflow: the activation and its ``swap`` flag move one column to the right per cycle. Weights move one row
    down per cycle; where ``latch`` accompanies a weight it is kept as shadow weight, and the flag moves on to the
    right. A ``swap`` copies the shadow weight to the active weight in time for the activation that carries it;
    in that very cycle a new shadow weight may already arrive. The product joins the partial sum from above one
    cycle before it leaves, so partial sums move one row down per cycle, ``latency`` cycles behind the activation.

    There is no flow control: invalid vectors give sums that nobody looks at.

    With ``column_mode`` the activation comes from the left or, where ``column`` is high, from ``column_activation``;
    this flag moves to the right like the activations.

    Parameters
    ----------
    row : int
        Row in the array, 0 at the top; decides the width of the sums.
    style : str
        Multiplier style, see :func:`~systolith.multiplier.multiplier`.
    column_mode : bool
        Build the second source of activations.
    in_luts : bool
        Multiply without a DSP block.

    Members
    -------
    activation, activation_next : ``In(signed(8))``, ``Out(signed(8))``
    swap, swap_next : ``In(1)``, ``Out(1)``
    weight, weight_next : ``In(signed(8))``, ``Out(signed(8))``
    latch, latch_next : ``In(1)``, ``Out(1)``
    partial_sum : ``In(partial_sum_shape(row - 1))``
    partial_sum_next : ``Out(partial_sum_shape(row))``
        Exact; it cannot overflow.
    column_activation : ``In(signed(8))``
        Only with ``column_mode``.
    column, column_next : ``In(1)``, ``Out(1)``
        Only with ``column_mode``.

    Raises
    ------
    ValueError
        If ``row`` is negative or no integer.
    """

    latency = 1 + MULTIPLIER_LATENCY + 1
    """Cycles from an activation to the partial sum that contains its product."""

    def __init__(self, *, row, style="generic", column_mode=False, in_luts=False):
        if isinstance(row, bool) or not isinstance(row, int) or row < 0:
            raise ValueError(f"Processing element row must be an integer of at least 0, not {row!r}")
        self._row = row
        self._style = style
        self._column_mode = column_mode
        self._in_luts = in_luts
        super().__init__({
            **operand_members(column_mode),
            "partial_sum": In(partial_sum_shape(row - 1)),
            "partial_sum_next": Out(partial_sum_shape(row)),
        })

    @property
    def row(self):
        """Row in the array."""
        return self._row

    @property
    def style(self):
        """Multiplier style."""
        return self._style

    def elaborate(self, platform):
        m = Module()
        shapes = {"a_shape": signed(8), "b_shape": signed(8), "latency": MULTIPLIER_LATENCY}
        m.submodules.multiplier = product = (
            LUT_MULTIPLIERS[self.style](**shapes) if self._in_luts else multiplier(style=self.style, **shapes))
        activation, weight = add_operand_registers(m, self, self._column_mode)
        # The operand registers of the multiplier follow; they split the route to the DSP block.
        m.d.comb += [product.a.eq(activation), product.b.eq(weight)]
        s4_sum = Signal(partial_sum_shape(self.row), reset_less=True)
        m.d.sync += s4_sum.eq(self.partial_sum + product.p)
        m.d.comb += self.partial_sum_next.eq(s4_sum)
        return m
