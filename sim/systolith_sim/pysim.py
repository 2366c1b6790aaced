"""Unit-test helpers for Amaranth's own simulator (pysim).

API
---
``simulate(dut, *testbenches, background=(), timeout_cycles=10_000, reset=None, vcd=None) -> int``
    Run until every testbench has ended; return the number of clock cycles. Never hangs.
``await put(ctx, stream, items, stall=0.0, seed=0)``
    Send items, one per cycle unless stalled.
``await get(ctx, stream, count, stall=0.0, seed=0) -> list``
    Receive ``count`` items as plain Python values.
``source(stream, items, ...)``, ``sink(stream, count, into, ...)``, ``expect(stream, items, ...)``
    The same as testbenches, ready to be passed to :func:`simulate`.
``StreamMonitor(stream, name="stream")``
    Background testbench that checks the stream rules and keeps every transferred item in ``.items``.
``plain(value)``
    ``data.Const`` to ints, lists (arrays) and dicts (structs), recursively.

Example
-------
A block with the streams ``dut.activations`` and ``dut.results``::

    def test_block_with_stalls_on_both_sides():
        dut = Block(rows=4)
        items = [[1, 2, -3, 4], [5, 6, 7, -128]]       # an ArrayLayout(signed(8), 4) payload takes lists
        monitor = StreamMonitor(dut.results, name="results")
        simulate(
            dut,
            source(dut.activations, items, stall=0.3, seed=1),
            expect(dut.results, golden(items), stall=0.5, seed=2),
            background=[monitor],
            timeout_cycles=1000,
        )
        assert len(monitor.items) == 2

A testbench of one's own is any ``async def testbench(ctx)``. A reset in mid-stream::

    reset = Signal()
    async def testbench(ctx):
        await put(ctx, dut.activations, items[:1])
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
    simulate(dut, testbench, reset=reset)
"""

import contextlib
import enum
import random
from pathlib import Path

from amaranth.hdl import ClockDomain, Const, Module, ResetSignal, Value
from amaranth.lib import data
from amaranth.sim import Simulator

__all__ = ["StreamMonitor", "StreamRuleError", "expect", "get", "plain", "put", "simulate", "sink", "source"]

_PERIOD = 1e-6


class StreamRuleError(AssertionError):
    """A stream producer broke the ready/valid rules."""


def plain(value):
    """Convert a simulator value to plain Python values.

    Parameters
    ----------
    value : int, enum.Enum, data.Const, list, tuple, dict or numpy array
        What ``ctx.get`` returned or what a test wants to send.

    Returns
    -------
    int, enum.Enum, list or dict
        Arrays as lists (index 0 first), structs as dicts, numbers as ``int``.
    """
    if isinstance(value, data.Const):
        layout = value.shape()
        if isinstance(layout, data.ArrayLayout):
            return [plain(value[index]) for index in range(layout.length)]
        return {name: plain(value[name]) for name, _ in layout}
    if isinstance(value, enum.Enum):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _is_fixed(member):
    return isinstance(Value.cast(member), Const)


def _stall_generator(stall, seed):
    if not 0.0 <= stall < 1.0:
        raise ValueError(f"Stall probability must be at least 0 and below 1, not {stall!r}")
    return random.Random(seed)


async def put(ctx, stream, items, *, stall=0.0, seed=0):
    """Send items into a stream.

    ``valid`` is low again on return. A cycle in which the domain is reset transfers nothing.

    Parameters
    ----------
    ctx : amaranth.sim.SimulatorContext
    stream : stream interface whose ``valid`` and ``payload`` the test drives
    items : iterable
        Payloads: ints, lists (arrays), dicts (structs) or numpy arrays.
    stall : float
        Probability of an idle cycle before each item, drawn again after each idle cycle.
    seed : int
        Seed of the stalls.
    """
    generator = _stall_generator(stall, seed)
    for item in items:
        while stall and generator.random() < stall:
            await ctx.tick()
        ctx.set(stream.payload, plain(item))
        if not _is_fixed(stream.valid):
            ctx.set(stream.valid, 1)
        accepted = False
        while not accepted:
            _clock, reset, ready = await ctx.tick().sample(Value.cast(stream.ready))
            accepted = ready and not reset
        if stall and not _is_fixed(stream.valid):
            ctx.set(stream.valid, 0)
    if not _is_fixed(stream.valid):
        ctx.set(stream.valid, 0)


async def get(ctx, stream, count, *, stall=0.0, seed=0):
    """Receive items from a stream.

    Parameters
    ----------
    ctx : amaranth.sim.SimulatorContext
    stream : stream interface whose ``ready`` the test drives
    count : int
        Number of items.
    stall : float
        Probability of ``ready`` being low in each cycle; ``ready`` may drop while ``valid`` is low.
    seed : int
        Seed of the stalls.

    Returns
    -------
    list
        ``count`` payloads as :func:`plain` values. ``ready`` is low again on return.
    """
    return [item async for item in _receive(ctx, stream, count, stall, seed)]


async def _receive(ctx, stream, count, stall, seed):
    generator = _stall_generator(stall, seed)
    fixed = _is_fixed(stream.ready)
    if fixed and stall:
        raise ValueError("Stall probability must be 0 for an always-ready stream")
    while count:
        ready = not (stall and generator.random() < stall)
        if not fixed:
            ctx.set(stream.ready, ready)
        _clock, reset, valid, payload = await ctx.tick().sample(Value.cast(stream.valid), stream.payload)
        if valid and ready and not reset:
            count -= 1
            if not fixed and not count:
                ctx.set(stream.ready, 0)
            yield plain(payload)


def source(stream, items, *, stall=0.0, seed=0):
    """Testbench that sends ``items``; see :func:`put`."""
    items = list(items)

    async def source_testbench(ctx):
        await put(ctx, stream, items, stall=stall, seed=seed)

    return source_testbench


def sink(stream, count, into, *, stall=0.0, seed=0):
    """Testbench that appends ``count`` received items to the list ``into``; see :func:`get`."""

    async def sink_testbench(ctx):
        async for item in _receive(ctx, stream, count, stall, seed):
            into.append(item)

    return sink_testbench


def expect(stream, items, *, stall=0.0, seed=0):
    """Testbench that receives one item per element of ``items`` and compares them in order.

    The first difference ends the simulation with an AssertionError naming index, got and want.
    """
    wanted = [plain(item) for item in items]

    async def expect_testbench(ctx):
        index = 0
        async for got in _receive(ctx, stream, len(wanted), stall, seed):
            want = wanted[index]
            assert got == want, f"item {index} of {len(wanted)}: got {got!r}, want {want!r}"
            index += 1

    return expect_testbench


class StreamMonitor:
    """Background testbench that checks the stream rules.

    Once ``valid`` is high it must stay high, with the same payload, until a cycle in which ``ready`` is
    high too; only a reset may interrupt it.

    Parameters
    ----------
    stream : stream interface
    name : str
        Name used in messages.

    Attributes
    ----------
    items : list
        Every transferred payload, as :func:`plain` values.
    cycles : list of int
        The clock cycle of each transfer, counted from 0 at the first clock edge.

    Raises
    ------
    StreamRuleError
        During the simulation, at the first violation.
    """

    def __init__(self, stream, *, name="stream"):
        self._stream = stream
        self._name = name
        self.items = []
        self.cycles = []

    async def __call__(self, ctx):
        """Watch the stream for ever; pass the monitor itself as a background testbench."""
        stream = self._stream
        bits = Value.cast(stream.payload)
        trigger = ctx.tick().sample(Value.cast(stream.valid), Value.cast(stream.ready), stream.payload, bits)
        pending = None
        cycle = 0
        async for _clock, reset, valid, ready, payload, raw in trigger:
            if reset:
                pending = None
            else:
                if pending is not None and not valid:
                    raise StreamRuleError(f"{self._name}: valid withdrawn before ready in cycle {cycle}")
                if pending is not None and raw != pending:
                    raise StreamRuleError(f"{self._name}: payload changed from {pending:#x} to {raw:#x} "
                                          f"before ready in cycle {cycle}")
                pending = raw if valid and not ready else None
                if valid and ready:
                    self.items.append(plain(payload))
                    self.cycles.append(cycle)
            cycle += 1


def _name_of(testbench):
    return getattr(testbench, "__name__", type(testbench).__name__)


def _waves(simulator, vcd):
    if vcd is None:
        return contextlib.nullcontext()
    Path(vcd).parent.mkdir(parents=True, exist_ok=True)
    return simulator.write_vcd(str(vcd))


def simulate(dut, *testbenches, background=(), timeout_cycles=10_000, reset=None, vcd=None):
    """Simulate a design with one clock until every testbench has ended.

    The clock domain ``sync`` is added here, so a purely combinational design works as well.

    Parameters
    ----------
    dut : amaranth.hdl.Elaboratable
    testbenches : callables
        ``async def testbench(ctx)``; at least one.
    background : iterable of callables
        Testbenches that do not keep the simulation alive, such as :class:`StreamMonitor`.
    timeout_cycles : int
        Clock cycles after which the simulation fails.
    reset : Signal or None
        If given, drives the reset of the domain; the testbenches set it.
    vcd : path or None
        Waveform file to write.

    Returns
    -------
    int
        Clock edges that passed until the last testbench ended.

    Raises
    ------
    TimeoutError
        If a testbench is still running after ``timeout_cycles``; it names those testbenches.
    """
    if not testbenches:
        raise ValueError("Testbenches must be at least one, not none")
    module = Module()
    domain = ClockDomain("sync")
    module.domains += domain
    if reset is not None:
        module.d.comb += ResetSignal("sync").eq(reset)
    module.submodules.dut = dut
    running = {}
    failures = []
    edges = 0

    def wrap(key, testbench):
        async def wrapped(ctx):
            try:
                await testbench(ctx)
            except Exception as error:  # noqa: BLE001 - raised below, once every coroutine has started
                failures.append(error)
            running.pop(key, None)
        return wrapped

    async def count_edges(ctx):
        nonlocal edges
        async for _ in ctx.tick():
            edges += 1

    async def give_up(ctx):
        await ctx.delay(timeout_cycles * _PERIOD)
        failures.append(TimeoutError(f"simulation must end within {timeout_cycles} cycles; "
                                     f"still running: {', '.join(running.values())}"))

    simulator = Simulator(module)
    simulator.add_clock(_PERIOD, domain=domain)
    simulator.add_testbench(count_edges, background=True)
    for key, testbench in enumerate(background):
        simulator.add_testbench(wrap(("background", key), testbench), background=True)
    for key, testbench in enumerate(testbenches):
        running[key] = f"{_name_of(testbench)} (testbench {key})"
        simulator.add_testbench(wrap(key, testbench))
    simulator.add_testbench(give_up, background=True)
    with _waves(simulator, vcd):
        while not failures and simulator.advance():
            pass
    if failures:
        raise failures[0]
    return edges
