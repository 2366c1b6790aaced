"""The machine that runs the microprogram."""

from functools import reduce
from operator import or_

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
_ADD, _SUBTRACT, _COLUMN = (Operation.ADD, Operation.SUB), (Operation.SUB,), (Operation.LDC,)
_LOAD, _AND, _SHIFT = (Operation.LD,), (Operation.AND,), (Operation.SHR,)
_KINDS = (_ADD, _SUBTRACT, _COLUMN, _LOAD, _AND, _SHIFT)
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
        Sum of the selected column; reduced window. Taken a cycle before the instruction that loads them.
    cycles : ``In(32)``
        Since the start.
    running, quiet, aborted, burst_busy, burst_failed, decode_error, walking, working, scaling : ``In(1)``
        State of the others; ``walking``: a row or tile is under way, ``working``: sums or results too, a cycle late.
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

        # Stage 0: the instruction is decoded into registers, so that stage 1 begins with what it does.
        address = Signal(ARGUMENT_WIDTH, init=PROGRAM_WORDS - 1)
        valid = Signal()
        advance, issue, taken, steal = Signal(), Signal(), Signal(), Signal()
        index, used = Signal(index_width), Signal()
        s0_operation, s0_argument = fetch.data[ARGUMENT_WIDTH:], fetch.data[:ARGUMENT_WIDTH]
        indirect = s0_operation[3] & (s0_operation[4:] != 3)
        # The index is incremented a cycle behind its use.
        s0_index = Signal(index_width)
        low = ceil_log2(PARAMETER_WORD)
        m.d.comb += s0_index.eq(Cat((index[:low] + used)[:low], index[low:]))
        place = Mux(indirect, s0_index, s0_argument[:index_width])

        # Stage 1.
        s1_valid = Signal()
        s1_argument = Signal(ARGUMENT_WIDTH, reset_less=True)
        s1_is = {operations: Signal(name=f"s1_is_{operations[0].name.lower()}", reset_less=True) for operations in _KINDS}
        s1_calculate, s1_store, s1_cycles, s1_keep = (
            Signal(name=f"s1_{name}", reset_less=True) for name in ("calculate", "store", "cycles", "keep"))
        s1_actions = Signal(_ACTIONS, reset_less=True)
        # A column or the window, a cycle early; 0 for other calculations.
        outside = Signal(32, reset_less=True)
        m.d.sync += outside.eq((self.column & (s0_operation[:3] == Operation.LDC).replicate(32))
                               | (self.reduced & (s0_operation[:3] == Operation.LDR).replicate(32)))
        kind = s0_operation[4:]
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(issue),
                s1_argument.eq(Mux(indirect & ~s0_operation[5], s0_index, s0_argument)),
                *(flag.eq(sum((s0_operation[:3] == operation) for operation in operations)[0])
                  for operations, flag in s1_is.items()),
                s1_calculate.eq(kind == 0), s1_store.eq(kind == 1), s1_cycles.eq(s0_operation[0]), s1_keep.eq(s0_operation[3]),
                *(s1_actions[action].eq((kind == 2) & (s0_argument[:6] == action)) for action in Action),
            ]
        m.d.sync += used.eq(issue & indirect)
        target = self._branches(m, kind == 3, s0_operation[:4], s1_valid, s1_argument, address, taken, advance)
        m.d.comb += [
            steal.eq(self.host_read),
            issue.eq(valid & advance & ~taken & ~steal),
            fetch.en.eq(issue | taken | ~valid),
            fetch.addr.eq(Mux(taken, target, address + 1)),
            # An action that waits for the scaler needs its word; the others wait without.
            self.host_read_ready.eq(advance | ~s1_keep),
            read.en.eq(self.host_read_ready),
            read.addr.eq(Mux(steal, self.host_read_index, place)),
            self.word.eq(read.data),
        ]
        with m.If(fetch.en):
            m.d.sync += [address.eq(fetch.addr), valid.eq(1)]

        # While an action waits there is no other.
        actions = s1_actions & s1_valid.replicate(_ACTIONS)
        stall = (
            ((s1_actions[Action.WAIT_BURST] & self.burst_busy)
             | (s1_actions[Action.WAIT_WALK] & self.walking)
             | (s1_actions[Action.SYNC] & self.working)) & self.quiet
            | (s1_actions[Action.EXPONENT] & self.scaling)
        )
        m.d.comb += [advance.eq(~(s1_valid & stall)), self.act.eq(actions)]
        m.d.comb += self.act[Action.EXPONENT].eq(actions[Action.EXPONENT] & ~self.scaling)
        self._index(m, index, self.act, used)
        self._calculate(m, s1_valid & s1_calculate, s1_is, outside)
        self._write(m, write, s1_valid & s1_store, s1_cycles, s1_argument, index)
        return m

    @property
    def host_constants(self):
        """Words that describe the hardware, by index of the register."""
        return {register(name).offset // 4: value for name, value in register_constants(self.config).items()}

    def _branches(self, m, branch, condition, valid, argument, address, taken, advance):
        """Conditions, and the addresses to return to; returns where a branch goes.

        What does not depend on the accumulator is decided a cycle early, and whether that is 0 is known a cycle late: the
        assembler keeps such branches away from the instruction before them.
        """
        accumulator = self.accumulator
        zero = Signal(reset_less=True)
        m.d.sync += zero.eq(~accumulator.any())
        early = {
            Condition.ALWAYS: Const(1), Condition.QUIET: self.quiet, Condition.ABORTED: self.aborted,
            Condition.BURST_OVER: ~self.burst_busy, Condition.BURST_FAILED: self.burst_failed,
            Condition.DECODE_ERROR: self.decode_error, Condition.STOPPED: ~self.running, Condition.CALL: Const(1),
            Condition.RETURN: Const(1),
        }
        sure, invert, calling, returning = (
            Signal(name=f"s1_{name}", reset_less=True) for name in ("sure", "invert", "calling", "returning"))
        of_zero, of_sign, of_carry = (Signal(name=f"s1_of_{name}", reset_less=True) for name in ("zero", "sign", "carry"))
        tests = ((of_zero, Condition.ZERO, Condition.NOT_ZERO), (of_sign, Condition.NEGATIVE, Condition.NOT_NEGATIVE),
                 (of_carry, Condition.CARRY, Condition.NO_CARRY))
        with m.If(advance):
            m.d.sync += [
                sure.eq(branch & Array([early.get(number, Const(0)) for number in range(16)])[condition]),
                invert.eq(branch & sum((condition == other) for *_, other in tests)[0]),
                *(test.eq(branch & ((condition == one) | (condition == other))) for test, one, other in tests),
                calling.eq(branch & (condition == Condition.CALL)),
                returning.eq(branch & (condition == Condition.RETURN)),
            ]
        holds = invert ^ ((of_zero & zero) | (of_sign & accumulator[31]) | (of_carry & self.carry))
        m.d.comb += taken.eq(valid & (sure | holds))
        back, back_2 = (Signal(ARGUMENT_WIDTH, name=f"back_{level}", reset_less=True) for level in range(2))
        with m.If(valid & calling):
            m.d.sync += [back.eq(address), back_2.eq(back)]  # stage 0 holds the next instruction
        with m.Elif(valid & returning):
            m.d.sync += back.eq(back_2)
        return Mux(returning, back, argument)

    def _index(self, m, index, act, used):
        """The index register; its upper bit selects the parameter buffer and keeps its value."""
        low = ceil_log2(PARAMETER_WORD)
        m.d.sync += index[:low].eq(index[:low] + (used | (self.beat & self.beat_ready)))
        with m.If(act[Action.INDEX]):
            m.d.sync += index.eq(self.accumulator)
        with m.If(act[Action.INDEX_WORDS]):
            m.d.sync += index.eq(Cat(self.accumulator[2:2 + low], 1))

    def _calculate(self, m, enable, kinds, outside):
        """Accumulator and carry. One LUT behind the adder: what else there is to choose from is one of its inputs."""
        accumulator, word = self.accumulator, self.word
        subtract = kinds[_SUBTRACT]
        total = Signal(33)
        m.d.comb += [
            total.eq(accumulator + (word ^ subtract.replicate(32)) + subtract),
            self.column_taken.eq(enable & kinds[_COLUMN]),
        ]
        values = {_LOAD: word, _AND: accumulator & word, _SHIFT: accumulator[8:], _ADD: total[:32]}
        chosen = (kinds[kind].replicate(32) & value for kind, value in values.items())
        with m.If(enable):
            m.d.sync += accumulator.eq(reduce(or_, chosen, outside))
            with m.If(kinds[_ADD]):
                m.d.sync += self.carry.eq(total[32] ^ subtract)

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
