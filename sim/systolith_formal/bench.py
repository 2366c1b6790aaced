"""Proof benches: a component, free inputs, assumptions about its surroundings and checks."""

from amaranth import *
from amaranth.hdl import Assert, Assume

__all__ = ["Bench"]


class Bench(Elaboratable):
    """Top module of a proof.

    The domain ``sync`` starts in its reset state, and its reset is one more free input: whatever is proved
    holds with a reset in any cycle too, unless the bench is made with ``reset=False``.

    Parameters
    ----------
    build : callable
        Called with the bench when it is elaborated; adds the component, assumptions and checks.
    reset : bool
        Leave the reset free.
    """

    def __init__(self, build, *, reset=True):
        self._build = build
        self._reset = reset
        self.m = None
        self.inputs = []
        self.checks = 0

    def elaborate(self, platform):
        self.m = m = Module()
        m.domains.sync = ClockDomain(reset_less=not self._reset)
        clk = Signal(name="clk")
        m.d.comb += ClockSignal().eq(clk)
        self.inputs.append(clk)
        if self._reset:
            rst = self.free(1, "rst")
            m.d.comb += ResetSignal().eq(rst)
        self._build(self)
        if not self.checks:
            raise ValueError("Proof bench must be one that checks something")
        return m

    def free(self, shape, name):
        """Signal that takes any value in any cycle."""
        width = Shape.cast(shape).width
        port = Signal(width, name=name)
        self.inputs.append(port)
        value = Signal(shape, name=f"{name}_value")
        self.m.d.comb += Value.cast(value).eq(port)
        return value

    def constant(self, shape, name):
        """Signal that has any value, but the same in all cycles."""
        port = self.free(shape, name)
        later = Signal(name=f"{name}_known", reset_less=True)
        held = Signal(shape, name=f"{name}_held", reset_less=True)
        value = Signal(shape, name=f"{name}_constant")
        self.m.d.comb += Value.cast(value).eq(Mux(later, Value.cast(held), Value.cast(port)))
        self.m.d.sync += [later.eq(1), Value.cast(held).eq(Value.cast(value))]
        return value

    def drive(self, *signals, prefix=""):
        """Give inputs of the component any value in any cycle."""
        for signal in signals:
            signal = Value.cast(signal)
            name = f"{prefix}{getattr(signal, 'name', 'input')}_{len(self.inputs)}"
            self.m.d.comb += signal.eq(Value.cast(self.free(signal.shape(), name)))

    def past(self, value, name, init=0):
        """Value of the cycle before; ``init`` in the first one."""
        before = Signal.like(Value.cast(value), name=f"past_{name}", init=init)
        self.m.d.sync += before.eq(value)
        return before

    def at(self, cycle):
        """Whether this is the cycle with that number, the first one being 0."""
        time = Signal(range(cycle + 2), name=f"time_{cycle}", reset_less=True)
        with self.m.If(time <= cycle):
            self.m.d.sync += time.eq(time + 1)
        return time == cycle

    def check(self, condition):
        """What must hold in every cycle."""
        self.checks += 1
        self.m.d.comb += Assert(condition)

    def assume(self, condition):
        """What the surroundings of the component guarantee in every cycle."""
        self.m.d.comb += Assume(condition)
