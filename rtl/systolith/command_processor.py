"""Command processor: registers, program control, dispatch, tokens, errors and counters."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.axi import axi_read_signature
from systolith.command_fetcher import CommandFetcher
from systolith.engine_queue import EngineQueue
from systolith.performance_counters import PerformanceCounters
from systolith.ports import DmaError
from systolith.register_file import RegisterFile, axi_lite_members
from systolith.shapes import MEMORY_WIDTH
from systolith.token_counters import TokenCounters
from systolith.watchdog import Watchdog
from systolith_spec.commands import COMMAND_BYTES, Engine
from systolith_spec.registers import ID_VALUE, VERSION_VALUE, ErrorCode, register

__all__ = ["CommandProcessor", "EnginePort", "register_constants"]

_SELF = 15
"""Engine number of the command processor in the ERROR register."""
_DRAIN_CYCLES = 65536


class EnginePort(wiring.Signature):
    """Control of one engine, seen from the command processor.

    Members
    -------
    command : ``Out(stream.Signature(512))``
        Commands whose tokens have been taken.
    retire : ``In(1)``
        The oldest command has retired (a pulse).
    busy, stall_input, stall_output : ``In(1)``
        State for the counters; ``busy``: accepted commands have not yet retired.
    """

    def __init__(self):
        super().__init__({
            "command": Out(stream.Signature(8 * COMMAND_BYTES)),
            "retire": In(1),
            "busy": In(1),
            "stall_input": In(1),
            "stall_output": In(1),
        })


def register_constants(config):
    """Values of the registers that describe the hardware, by register name."""
    return {
        "ID": ID_VALUE,
        "VERSION": VERSION_VALUE,
        "CONFIG_ROWS": config.rows,
        "CONFIG_COLS": config.cols,
        "CONFIG_ACTIVATION": config.activation_bytes,
        "CONFIG_WEIGHT": config.weight_bytes,
        "CONFIG_PARAMETER": config.parameter_bytes,
        "CONFIG_ACCUMULATOR": config.accumulator_depth,
        "CONFIG_LANES": config.vector_lanes,
        "CONFIG_GROUPS": config.parameter_groups,
        "CONFIG_AXI": config.axi_data_width,
        "CONFIG_FEATURES": config.residual_add | config.pooling << 1 | config.softmax << 2
        | config.engine_counters << 3 | config.depthwise_streams << 8,
        "CONFIG_BANKS": config.activation_banks,
    }


class CommandProcessor(Component):
    """Run a program: fetch its commands, hand them to the engines under token control, report the end.

    A run begins with the start strobe and goes through three states: *prepare* (wait until the DMA has
    finished what an earlier, broken run left behind), *run*, and after an error or abort *stop* (reset the
    engines and queues, let the DMA drain). Outside *run* all engines, queues and tokens are held in reset, so
    that each run begins from the same state. A DMA that does not drain is given up after WATCHDOG cycles
    (65536 if that is 0). The first error of a run counts. An abort ends a run with the error bit set and
    error code 0.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    s_axil_* : AXI4-Lite subordinate
    irq : ``Out(1)``
        Interrupt, high while done and enabled.
    axi : ``Out(axi_read_signature(config))``
        Read channels of the command fetcher.
    engines : ``Out(EnginePort()).array(4)``
        The engines, indexed by ``Engine``.
    load_error, store_error : ``In(DmaError)``
        Errors of the DMA engines.
    base, limit, writable : ``Out(32)``
        Registers BASE, LIMIT and WRITABLE as they were at the start.
    abort : ``Out(1)``
        Level: the DMA engines drain and go idle.
    reset : ``Out(1)``
        Reset of the compute and vector engines.
    read_beat, write_beat : ``In(1)``
        A data beat passes the AXI4 port.
    trace_retire : ``Out(4)``, trace_layer : ``Out(48)``
        Engine e has retired a command of layer ``trace_layer[12*e:12*e+12]``.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__({
            **axi_lite_members(),
            "irq": Out(1),
            "axi": Out(axi_read_signature(config)),
            "engines": Out(EnginePort()).array(len(Engine)),
            "load_error": In(DmaError),
            "store_error": In(DmaError),
            "base": Out(MEMORY_WIDTH),
            "limit": Out(MEMORY_WIDTH),
            "writable": Out(MEMORY_WIDTH),
            "abort": Out(1),
            "reset": Out(1),
            "read_beat": In(1),
            "write_beat": In(1),
            "trace_retire": Out(len(Engine)),
            "trace_layer": Out(12 * len(Engine)),
        })

    @property
    def config(self):
        """Configuration of the accelerator."""
        return self._config

    @property
    def settle_cycles(self):
        """Cycles of reset after an error: what is under way in buffers and array has left them by then."""
        return 32 + self.config.rows + self.config.cols

    def elaborate(self, platform):
        m = Module()
        m.submodules.registers = registers = RegisterFile(constants=register_constants(self.config))
        m.submodules.fetcher = fetcher = CommandFetcher(config=self.config)
        m.submodules.counters = counters = PerformanceCounters(
            axi_bytes=self.config.axi_bytes, engines=self.config.engine_counters)
        running = Signal()
        # ~running as a register of its own: it resets most of the accelerator.
        stopped = Signal(init=1)
        m.d.comb += [self.abort.eq(stopped), self.reset.eq(stopped)]
        connect(m, fetcher=fetcher.axi, outside=flipped(self.axi))
        empty, overflow, overflow_engine = self._queues(m, fetcher, counters, stopped)
        self._registers_and_counters(m, registers, fetcher, counters)
        self._control(m, registers, fetcher, counters, running, stopped, empty, overflow, overflow_engine)
        return m

    def _queues(self, m, fetcher, counters, stopped):
        """Queues and tokens; returns "all queues empty" and the token overflow."""
        m.submodules.tokens = tokens = TokenCounters()
        m.d.comb += tokens.clear.eq(stopped)
        empty = Signal(len(Engine))
        for engine in Engine:
            queue = ResetInserter(stopped)(EngineQueue(config=self.config))
            m.submodules[f"{engine.name.lower()}_queue"] = queue
            port = self.engines[engine]
            connect(m, fetcher=fetcher.beats[engine], queue=queue.beats)
            connect(m, queue=queue.command, port=flipped(port.command))
            # A cycle late, which no one sees: the next command of the queue is not complete so soon.
            taken = Signal(name=f"{engine.name.lower()}_taken")
            m.d.sync += taken.eq(queue.take)
            m.d.comb += [
                tokens.take[engine].eq(Mux(taken, queue.wait, 0)),
                queue.retire.eq(port.retire),
                queue.available.eq(tokens.available[engine]),
                tokens.give[engine].eq(queue.give),
                empty[engine].eq(queue.empty),
                counters.busy[engine].eq(port.busy),
                counters.stall_token[engine].eq(queue.stall_token),
                counters.stall_input[engine].eq(port.stall_input),
                counters.stall_output[engine].eq(port.stall_output),
                self.trace_retire[engine].eq(queue.trace_retire),
                self.trace_layer.word_select(int(engine), 12).eq(queue.trace_layer),
            ]
        return empty.all(), tokens.overflow, tokens.overflow_engine

    def _registers_and_counters(self, m, registers, fetcher, counters):
        for name in axi_lite_members():
            inner, outer = getattr(registers, name), getattr(self, name)
            inward = self.signature.members[name].flow == In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        for name in counters.counters:
            m.d.comb += getattr(registers, f"value_{name}").eq(getattr(counters, name))
        m.d.comb += [
            counters.read_beat.eq(self.read_beat),
            counters.write_beat.eq(self.write_beat),
            counters.command.eq(fetcher.dispatch),
        ]

    def _control(self, m, registers, fetcher, counters, running, stopped, empty, overflow, overflow_engine):
        strobes = {field.name: registers.value_control[field.lsb] for field in register("CONTROL").fields}
        busy = Signal()
        done = Signal()
        failed = Signal()
        error = Signal(DmaError)
        error_engine = Signal(4)
        fetch = Signal()
        m.d.comb += [
            registers.value_status.eq(Cat(busy, done, failed)),
            registers.value_error.eq(Cat(error.code, error_engine, error.response)),
            registers.value_error_address.eq(error.address),
            counters.run.eq(busy),
            fetcher.base.eq(self.base),
            fetcher.program.eq(registers.value_program),
            fetcher.limit.eq(self._fetch_limit(m)),
            fetcher.stop.eq(~running),
            fetcher.start.eq(fetch),
        ]
        m.d.sync += fetch.eq(0)
        # Not registered: it is low again once the write that cleared it has been answered.
        m.d.comb += self.irq.eq(done & registers.value_interrupt[0])

        quiet = Signal()
        finished = Signal()
        engines_busy = Cat(port.busy for port in self.engines).any()
        m.d.sync += [
            quiet.eq(fetcher.idle & ~self.engines[Engine.LOAD].busy & ~self.engines[Engine.STORE].busy),
            finished.eq(running & ~fetch & fetcher.ended & fetcher.idle & empty & ~engines_busy),
        ]
        settling = Signal()
        watchdog = self._watchdog(m, registers, fetcher, running, busy, fetch | settling)
        settle = Signal(range(self.settle_cycles + 1))
        # While settling, the limit of the watchdog has time to change to that of draining.
        m.d.sync += settling.eq(~running & (settle != 0))

        failure, failure_engine = self._failure(
            m, fetcher.error, busy, overflow, overflow_engine, strobes["abort"], watchdog.expired)

        # What the error was is forgotten a cycle later than that there was one: still before anyone can read it.
        forgetting = Signal()
        m.d.sync += forgetting.eq(0)
        with m.If(forgetting):
            m.d.sync += [error.eq(0), error_engine.eq(0)]

        def forget():
            m.d.sync += [done.eq(0), failed.eq(0), forgetting.eq(1)]

        def fail():
            m.d.sync += [failed.eq(1), error.eq(failure), error_engine.eq(failure_engine), forgetting.eq(0)]
            m.d.sync += [running.eq(0), stopped.eq(1), settle.eq(self.settle_cycles)]
            m.next = "STOP"

        with m.If(strobes["clear"]):
            forget()
        with m.FSM():
            with m.State("IDLE"), m.If(strobes["start"]):
                forget()
                m.d.comb += counters.clear.eq(1)
                m.d.sync += busy.eq(1)
                for name in ("base", "limit", "writable"):
                    m.d.sync += getattr(self, name).eq(getattr(registers, f"value_{name}"))
                m.next = "PREPARE"
            with m.State("PREPARE"):
                with m.If(failure.valid):
                    fail()
                with m.Elif(quiet):
                    m.d.sync += [running.eq(1), stopped.eq(0), fetch.eq(1)]
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(failure.valid):
                    fail()
                with m.Elif(finished):
                    m.d.sync += [running.eq(0), stopped.eq(1), busy.eq(0), done.eq(1)]
                    m.next = "IDLE"
            with m.State("STOP"):
                with m.If(settle != 0):
                    m.d.sync += settle.eq(settle - 1)
                with m.Elif(quiet | watchdog.expired):
                    m.d.sync += [busy.eq(0), done.eq(1)]
                    m.next = "IDLE"

    def _fetch_limit(self, m):
        """Registered: commands come from below what programs write, so that none is fetched that a program has made."""
        fetch_limit = Signal(MEMORY_WIDTH)
        guarded = self.writable.any() & (~self.limit.any() | (self.writable < self.limit))
        m.d.sync += fetch_limit.eq(Mux(guarded, self.writable, self.limit))
        return fetch_limit

    def _failure(self, m, fetch_error, busy, overflow, overflow_engine, abort, expired):
        """Registered: the error to report if the run stops now (``valid``: it must), and its engine."""
        failure = Signal(DmaError)
        engine = Signal(4)
        m.d.sync += failure.valid.eq(0)

        def fail(code, source, address=0, response=0):
            m.d.sync += [
                failure.valid.eq(busy), failure.code.eq(code), failure.address.eq(address),
                failure.response.eq(response), engine.eq(source),
            ]

        with m.If(fetch_error.valid):
            fail(fetch_error.code, _SELF, fetch_error.address, fetch_error.response)
        for source, record in ((Engine.LOAD, self.load_error), (Engine.STORE, self.store_error)):
            # Not what an engine still has to say about an earlier run while it drains.
            with m.Elif(record.valid & ~self.abort):
                fail(record.code, source, record.address, record.response)
        with m.Elif(overflow):
            fail(ErrorCode.TOKEN_OVERFLOW, overflow_engine)
        with m.Elif(abort):
            fail(ErrorCode.NONE, _SELF)
        with m.Elif(expired):
            fail(ErrorCode.WATCHDOG, _SELF)
        return failure, engine

    def _watchdog(self, m, registers, fetcher, running, busy, restart):
        m.submodules.watchdog = watchdog = Watchdog()
        default = Signal()
        limit = Signal(32)
        progress = Signal()
        retire = Cat(port.retire for port in self.engines).any()
        m.d.sync += [
            default.eq(registers.value_watchdog == 0),
            limit.eq(Mux(default & ~running, _DRAIN_CYCLES, registers.value_watchdog)),
            progress.eq(running & (retire | fetcher.progress)),
        ]
        m.d.comb += [
            watchdog.limit.eq(limit), watchdog.enable.eq(busy), watchdog.kick.eq(progress | restart),
        ]
        return watchdog
