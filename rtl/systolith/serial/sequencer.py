"""The machine that runs the microprogram."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import ceil_log2

from systolith.command_processor import register_constants
from systolith_spec.micro_instructions import (
    ARGUMENT_WIDTH,
    INSTRUCTION_WIDTH,
    PROGRAM_WORDS,
    Action,
    Condition,
    Operation,
)
from systolith_spec.microprogram import PARAMETER_WORD, microprogram
from systolith_spec.registers import register

__all__ = ["Sequencer"]

_ACTIONS = max(Action) + 1
_MEMORY_WORDS = 2 * PARAMETER_WORD


class Sequencer(Component):
    """Two-stage processor with one accumulator: an instruction per cycle, a bubble behind each branch taken.

    Dataflow: program memory -> stage 0, where the instruction addresses the RAM -> stage 1, where the word of the RAM and the
    accumulator meet. The RAM holds the registers of the host, the command, the lane tables, constants, variables and the
    parameter buffer. The host reads between two instructions and writes when the program does not; a beat of a burst is
    written where the index register points.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    host_read : ``In(1)``, host_read_index : ``In(6)``, host_read_ready : ``Out(1)``
        Read of a register; its word is at ``word`` a cycle after both are 1.
    host_write : ``In(4)``, host_write_index : ``In(6)``, host_data : ``In(32)``, host_write_ready : ``Out(1)``
        Write of bytes of a register.
    beat : ``In(1)``, beat_ready : ``Out(1)``, beat_data : ``In(32)``
        Write a word at the index, and increment it, when both are 1: the program goes first.
    column, reduced : ``In(signed(32))``
        Sum of the selected column; reduced window.
    cycles : ``In(32)``
        Since the start.
    running, quiet, aborted, burst_busy, burst_failed, decode_error, walking, working, scaling : ``In(1)``
        State of the others; ``walking``: a row or tile is under way, ``working``: sums or results too.
    accumulator : ``Out(32)``, word : ``Out(32)``, carry : ``Out(1)``
        Operands of the actions.
    act : ``Out(40)``
        Bit i: action i takes place.
    column_taken : ``Out(1)``
        The sum of a column is used.
    """

    def __init__(self, *, config):
        self._config = config
        self._program = microprogram(config)
        super().__init__({
            "host_read": In(1), "host_read_index": In(6), "host_read_ready": Out(1),
            "host_write": In(4), "host_write_index": In(6), "host_data": In(32), "host_write_ready": Out(1),
            "beat": In(1), "beat_ready": Out(1), "beat_data": In(32),
            "column": In(signed(32)), "reduced": In(signed(32)), "cycles": In(32),
            **{name: In(1) for name in ("running", "quiet", "aborted", "burst_busy", "burst_failed", "decode_error",
                                        "walking", "working", "scaling")},
            "accumulator": Out(32), "word": Out(32), "carry": Out(1), "act": Out(_ACTIONS),
            "column_taken": Out(1),
        })

    @property
    def config(self):
        """Configuration of the accelerator."""
        return self._config

    @property
    def program(self):
        """The microprogram."""
        return self._program

    def elaborate(self, platform):
        m = Module()
        m.submodules.program = program = Memory(
            shape=INSTRUCTION_WIDTH, depth=PROGRAM_WORDS, init=self.program.words)
        init = [self.program.constants.get(index, 0) for index in range(_MEMORY_WORDS)]
        for index, value in self.host_constants.items():
            init[index] = value
        m.submodules.ram = ram = Memory(shape=32, depth=_MEMORY_WORDS, init=init, attrs={"no_rw_check": 1})
        fetch, read, write = program.read_port(), ram.read_port(), ram.write_port(granularity=8)
        index_width = ceil_log2(_MEMORY_WORDS)

        # Stage 0.
        address = Signal(ARGUMENT_WIDTH, init=PROGRAM_WORDS - 1)
        valid = Signal()
        advance, issue, taken, steal = Signal(), Signal(), Signal(), Signal()
        index = Signal(index_width)
        s0_operation, s0_argument = fetch.data[ARGUMENT_WIDTH:], fetch.data[:ARGUMENT_WIDTH]
        indirect = s0_operation[3] & (s0_operation[4:] != 3)
        place = Mux(indirect, index, s0_argument[:index_width])

        # Stage 1.
        s1_valid = Signal()
        s1_operation = Signal(6, reset_less=True)
        s1_argument = Signal(ARGUMENT_WIDTH, reset_less=True)
        with m.If(advance):
            m.d.sync += s1_valid.eq(issue)
        with m.If(issue):
            m.d.sync += [
                s1_operation.eq(s0_operation),
                s1_argument.eq(Mux(indirect & ~s0_operation[5], index, s0_argument)),
            ]
        branch = s1_operation[4:] == 3
        target = self._branches(m, s1_valid & branch, s1_operation[:4], s1_argument, address, taken, advance)
        m.d.comb += [
            steal.eq(self.host_read),
            issue.eq(valid & advance & ~taken & ~steal),
            fetch.en.eq(issue | taken | ~valid),
            fetch.addr.eq(Mux(taken, target, address + 1)),
            # An action that waits for the scaler needs its word; the others wait without.
            self.host_read_ready.eq(advance | ~s1_operation[3]),
            read.en.eq(self.host_read_ready),
            read.addr.eq(Mux(steal, self.host_read_index, place)),
            self.word.eq(read.data),
        ]
        with m.If(fetch.en):
            m.d.sync += [address.eq(fetch.addr), valid.eq(1)]

        actions = Signal(_ACTIONS)
        with m.If(s1_valid & (s1_operation[4:] == 2)):
            m.d.comb += actions.eq(1 << s1_argument[:6])
        attending = ~self.quiet
        stall = (
            (actions[Action.WAIT_BURST] & self.burst_busy & ~attending)
            | (actions[Action.WAIT_WALK] & self.walking & ~attending)
            | (actions[Action.SYNC] & self.working & ~attending)
            | (actions[Action.EXPONENT] & self.scaling)
        )
        m.d.comb += [advance.eq(~stall), self.act.eq(actions & advance.replicate(_ACTIONS))]
        self._index(m, index, self.act, issue & indirect)
        self._calculate(m, s1_valid & ~s1_operation[4:].any(), s1_operation[:3])
        self._write(m, write, s1_valid & (s1_operation[4:] == 1), s1_operation[0], s1_argument, index)
        return m

    @property
    def host_constants(self):
        """Words that describe the hardware, by index of the register."""
        return {register(name).offset // 4: value for name, value in register_constants(self.config).items()}

    def _branches(self, m, branching, condition, argument, address, taken, advance):
        """Conditions, and the addresses to return to; returns where a branch goes."""
        accumulator = self.accumulator
        zero = ~accumulator.any()
        holds = {
            Condition.ALWAYS: Const(1), Condition.ZERO: zero, Condition.NOT_ZERO: ~zero,
            Condition.NEGATIVE: accumulator[31], Condition.NOT_NEGATIVE: ~accumulator[31],
            Condition.CARRY: self.carry, Condition.NO_CARRY: ~self.carry, Condition.QUIET: self.quiet,
            Condition.ABORTED: self.aborted, Condition.BURST_OVER: ~self.burst_busy,
            Condition.BURST_FAILED: self.burst_failed, Condition.DECODE_ERROR: self.decode_error,
            Condition.STOPPED: ~self.running, Condition.CALL: Const(1), Condition.RETURN: Const(1),
        }
        m.d.comb += taken.eq(branching & Array([*(holds[key] for key in Condition), Const(0)])[condition])
        back, back_2 = (Signal(ARGUMENT_WIDTH, name=f"back_{level}", reset_less=True) for level in range(2))
        returning = condition == Condition.RETURN
        with m.If(branching & (condition == Condition.CALL)):
            m.d.sync += [back.eq(address), back_2.eq(back)]  # stage 0 holds the next instruction
        with m.Elif(branching & returning):
            m.d.sync += back.eq(back_2)
        return Mux(returning, back, argument)

    def _index(self, m, index, act, used):
        """The index register; its upper bit selects the parameter buffer and keeps its value."""
        low = ceil_log2(PARAMETER_WORD)
        with m.If(used | (self.beat & self.beat_ready)):
            m.d.sync += index[:low].eq(index[:low] + 1)
        with m.If(act[Action.INDEX]):
            m.d.sync += index.eq(self.accumulator)
        with m.If(act[Action.INDEX_WORDS]):
            m.d.sync += index.eq(Cat(self.accumulator[2:2 + low], 1))

    def _calculate(self, m, enable, function):
        """Accumulator and carry."""
        accumulator, word = self.accumulator, self.word
        operand = Signal(32)
        subtract = function == Operation.SUB
        total = Signal(33)
        m.d.comb += [
            operand.eq(Mux(function == Operation.LDC, self.column, Mux(function == Operation.LDR, self.reduced, word))),
            total.eq(accumulator + (operand ^ subtract.replicate(32)) + subtract),
        ]
        m.d.comb += self.column_taken.eq(enable & (function == Operation.LDC))
        with m.If(enable):
            with m.Switch(function):
                with m.Case(Operation.ADD, Operation.SUB):
                    m.d.sync += [accumulator.eq(total), self.carry.eq(total[32] ^ subtract)]
                with m.Case(Operation.AND):
                    m.d.sync += accumulator.eq(accumulator & word)
                with m.Case(Operation.SHR):
                    m.d.sync += accumulator.eq(accumulator[8:])
                with m.Default():
                    m.d.sync += accumulator.eq(operand)

    def _write(self, m, write, store, cycles, argument, index):
        """The write port: the program, beats or the host."""
        own = store | self.beat
        m.d.comb += [self.host_write_ready.eq(~own), self.beat_ready.eq(~store)]
        with m.If(own):
            m.d.comb += [
                write.en.eq(0xF),
                write.addr.eq(Mux(store, argument, index)),
                write.data.eq(Mux(store, Mux(cycles, self.cycles, self.accumulator), self.beat_data)),
            ]
        with m.Else():
            m.d.comb += [write.en.eq(self.host_write), write.addr.eq(self.host_write_index), write.data.eq(self.host_data)]
