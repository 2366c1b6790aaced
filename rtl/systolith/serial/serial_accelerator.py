"""The accelerator with serial control: one microprogram, one command at a time.

::

    AXI4-Lite -- host port -- sequencer (microprogram, RAM: registers, command, tables, parameters, variables)
                                 |  actions, accumulator
         +-----------------------+------------+---------------------------+
         |                       |            |                           |
    burst engine -- AXI4    row walker   weight buffer                    |
         |  bytes, beats         | addresses  | tiles                     |
         +-> activation buffer <-+       product array -> accumulators -> column
         |        |  vectors ----------------^                            |
         |        +---- padding, reduction of windows -> reduced ---------+-> scaler
         +<------------------------------------------------ bytes -----------+

Commands are executed in the order of the program, each to its end: tokens are counted, and waiting for one that is not there
lasts until the watchdog or the host ends the run.
"""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In
from amaranth.utils import exact_log2

from systolith.axi import AXI_BURST_INCR
from systolith.register_file import axi_lite_members
from systolith.serial.burst_engine import BurstEngine
from systolith.serial.byte_buffer import ByteBuffer
from systolith.serial.host_port import HostPort
from systolith.serial.product_array import ProductArray
from systolith.serial.row_walker import RowWalker
from systolith.serial.scaler import Scaler
from systolith.serial.sequencer import Sequencer
from systolith.serial.single_port_byte_buffer import SinglePortByteBuffer
from systolith_spec.micro_instructions import Action
from systolith_spec.microprogram import burst_bytes

__all__ = ["SerialAccelerator"]

_TICK_LOG2 = 10
"""Cycles from look to look at the watchdog, log2."""


class SerialAccelerator(Component):
    """All of an accelerator whose configuration has serial control.

    Parameters
    ----------
    config : AcceleratorConfig
    members : dict
        Signature members of :class:`~systolith.accelerator.Accelerator`.
    """

    def __init__(self, *, config, members):
        self._config = config
        super().__init__(members)

    @property
    def config(self):
        """Configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.host = host = HostPort()
        m.submodules.sequencer = sequencer = Sequencer(config=config)
        m.submodules.activations = activations = self._activation_buffer()
        m.submodules.bursts = bursts = BurstEngine(
            length_width=exact_log2(burst_bytes(config)) + 1, latency=activations.latency)
        m.submodules.walker = walker = RowWalker(config=config, latency=activations.latency)
        m.submodules.array = array = ProductArray(config=config)
        m.submodules.scaler = scaler = Scaler()
        act, value = sequencer.act, sequencer.accumulator
        self._host(m, host, sequencer)
        self._bursts(m, bursts, sequencer)
        self._walk(m, walker, sequencer)
        loading = self._weights(m, array, bursts, act, value)

        # Vectors: padding, products or reduction.
        pad, mode = Signal(8, reset_less=True), Signal(2, reset_less=True)
        overwrite = Signal(reset_less=True)
        with m.If(act[Action.PAD]):
            m.d.sync += pad.eq(value)
        with m.If(act[Action.MODE]):
            m.d.sync += mode.eq(value)
        with m.If(act[Action.ACCUMULATE]):
            m.d.sync += overwrite.eq(~value[24])
        vector = [Mux(walker.inside[lane], activations.vector.word_select(lane, 8), pad) for lane in range(config.rows)]
        m.d.comb += [
            walker.advance.eq(bursts.fetch),
            activations.read.eq(walker.read),
            activations.read_address.eq(walker.address),
            walker.taken.eq(activations.taken), bursts.fetched.eq(activations.taken),
            bursts.stored.eq(activations.vector),
            array.vector.eq(Cat(vector)),
            array.valid.eq(walker.valid & ~mode[0]),
            array.entry.eq(value),
            array.set_entry.eq(act[Action.ENTRY]),
            array.overwrite.eq(overwrite),
            array.next_column.eq(sequencer.column_taken),
            sequencer.column.eq(array.column),
        ]
        self._reduce(m, vector[0].as_signed(), walker.valid & mode[0], mode[1], act[Action.CLEAR], sequencer.reduced)

        self._results(m, scaler, activations, bursts, sequencer)
        m.d.comb += [
            # A window is taken by the program when its last vector has come.
            sequencer.walking.eq(walker.busy | (walker.draining & mode[0]) | loading),
            sequencer.scaling.eq(scaler.busy),
        ]
        m.d.sync += sequencer.working.eq(walker.draining | loading | array.busy | scaler.busy)
        return m

    def _activation_buffer(self):
        config = self.config
        if config.activation_ports == 1:
            return SinglePortByteBuffer(
                size=config.activation_bytes, lanes=config.activation_word, style=config.multiplier_style)
        return ByteBuffer(size=config.activation_bytes, lanes=config.activation_word)

    def _host(self, m, host, sequencer):
        """Registers, cycles, the tick of the watchdog, and the trace."""
        act = sequencer.act
        for name in axi_lite_members():
            inner, outer = getattr(host, name), getattr(self, name)
            inward = self.signature.members[name].flow == In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        cycles, tick = Signal(32), Signal()
        with m.If(host.start):
            m.d.sync += [cycles.eq(0), tick.eq(0)]
        with m.Elif(host.running):
            m.d.sync += cycles.eq(cycles + 1)
            with m.If(cycles[:_TICK_LOG2].all()):
                m.d.sync += tick.eq(1)
            with m.Elif(act[Action.REST]):
                m.d.sync += tick.eq(0)
        m.d.sync += sequencer.quiet.eq(~tick & ~host.aborted)
        m.d.comb += [
            self.irq.eq(host.irq),
            sequencer.host_read.eq(host.read), sequencer.host_read_index.eq(host.read_index),
            host.read_ready.eq(sequencer.host_read_ready), host.word.eq(sequencer.word),
            sequencer.host_write.eq(host.write), sequencer.host_write_index.eq(host.write_index),
            sequencer.host_data.eq(host.data), host.write_ready.eq(sequencer.host_write_ready),
            host.open.eq(act[Action.OPEN]), host.ended.eq(act[Action.DONE]), host.failed.eq(act[Action.FAILED]),
            sequencer.running.eq(host.running), sequencer.aborted.eq(host.aborted),
            sequencer.cycles.eq(cycles),
            self.trace_retire.eq(act[Action.RETIRE_LOAD:Action.RETIRE_STORE + 1]),
            self.trace_layer.eq(sequencer.accumulator[12:24].replicate(4)),
        ]

    def _bursts(self, m, bursts, sequencer):
        """The bus."""
        act, value = sequencer.act, sequencer.accumulator
        with m.If(act[Action.TARGET]):
            m.d.sync += bursts.target.eq(value)
        with m.If(act[Action.LENGTH]):
            m.d.sync += bursts.length.eq(value)
        m.d.comb += [
            bursts.begin.eq(act[Action.BURST]), bursts.address.eq(value),
            sequencer.burst_busy.eq(bursts.busy), sequencer.burst_failed.eq(bursts.failed),
            sequencer.decode_error.eq(bursts.decode_error),
            sequencer.beat.eq(bursts.word_valid), bursts.word_ready.eq(sequencer.beat_ready),
            sequencer.beat_data.eq(bursts.beat),
        ]
        for channel in ("ar", "aw"):
            m.d.comb += [
                getattr(self, f"m_axi_{channel}valid").eq(getattr(bursts, f"{channel}valid")),
                getattr(bursts, f"{channel}ready").eq(getattr(self, f"m_axi_{channel}ready")),
                getattr(self, f"m_axi_{channel}addr").eq(bursts.addr),
                getattr(self, f"m_axi_{channel}len").eq(bursts.len),
                getattr(self, f"m_axi_{channel}size").eq(exact_log2(self.config.axi_bytes)),
                getattr(self, f"m_axi_{channel}burst").eq(AXI_BURST_INCR),
            ]
        for name in ("rvalid", "rdata", "rresp", "rlast", "wready", "bvalid", "bresp"):
            m.d.comb += getattr(bursts, name).eq(getattr(self, f"m_axi_{name}"))
        for name in ("rready", "wvalid", "wstrb", "wlast", "wdata", "bready"):
            m.d.comb += getattr(self, f"m_axi_{name}").eq(getattr(bursts, name))

    def _walk(self, m, walker, sequencer):
        act = sequencer.act
        for name, action in (("set_step", Action.STEP), ("set_low", Action.LOW), ("set_high", Action.HIGH),
                             ("set_positions", Action.POSITIONS), ("set_row", Action.ROW), ("walk", Action.WALK),
                             ("set_address", Action.READ_ADDRESS), ("kill", Action.KILL)):
            m.d.comb += getattr(walker, name).eq(act[action])
        m.d.comb += [walker.value.eq(sequencer.accumulator), walker.row_inside.eq(sequencer.carry)]

    def _weights(self, m, array, bursts, act, value):
        """Weight buffer, and the loader of tiles; returns whether that is busy."""
        config = self.config
        m.submodules.weights = weights = Memory(
            shape=32, depth=config.weight_bytes // 4, init=[], attrs={"no_rw_check": 1})
        read, write = weights.read_port(), weights.write_port()
        address = Signal(exact_log2(config.weight_bytes // 4), reset_less=True)
        words = config.tile_bytes // 4
        left, load, loading = Signal(range(words + 1)), Signal(words), Signal()
        with m.If(act[Action.WEIGHT_ADDRESS]):
            m.d.sync += address.eq(value[2:])
        with m.Elif(bursts.weight_valid | loading):
            m.d.sync += address.eq(address + 1)
        with m.If(act[Action.LOAD_TILE]):
            m.d.sync += [left.eq(words), loading.eq(1)]
        with m.Elif(act[Action.KILL]):
            m.d.sync += [left.eq(0), loading.eq(0)]
        with m.Elif(loading):
            m.d.sync += [left.eq(left - 1), loading.eq(left != 1)]
        # One-hot, a cycle behind the read.
        m.d.sync += load.eq(Cat(left == words, load[:-1]))
        m.d.comb += [
            read.en.eq(1), read.addr.eq(address),
            write.en.eq(bursts.weight_valid), write.addr.eq(address), write.data.eq(bursts.beat),
            array.weights.eq(read.data), array.load.eq(load),
        ]
        return loading

    def _reduce(self, m, element, valid, maximum, clear, reduced):
        """Sum or maximum of the elements of a window."""
        total, first = Signal(signed(25), reset_less=True), Signal(reset_less=True)
        s1_valid, s1_element = Signal(), Signal(signed(8), reset_less=True)
        distance = Signal(signed(9))  # a carry chain: the comparison would be a tree of LUTs
        m.d.sync += [s1_valid.eq(valid), s1_element.eq(element)]
        m.d.comb += distance.eq(total[:8].as_signed() - s1_element)  # the maximum is a byte
        with m.If(clear):
            m.d.sync += first.eq(1)
        with m.Elif(s1_valid):
            m.d.sync += first.eq(0)
            with m.If(~maximum & ~first):
                m.d.sync += total.eq(total + s1_element)
            with m.Elif(first | distance[-1]):
                m.d.sync += total.eq(s1_element)
        m.d.comb += reduced.eq(total)

    def _results(self, m, scaler, activations, bursts, sequencer):
        """Scaled outputs and loaded bytes to the activation buffer."""
        act, value, word = sequencer.act, sequencer.accumulator, sequencer.word
        for action, name, lowest in ((Action.ZERO_OUT, "zero_out", 0), (Action.MINIMUM, "minimum", 0),
                                     (Action.MAXIMUM, "maximum", 0), (Action.ROUNDING, "rounding", 4)):
            with m.If(act[action]):
                m.d.sync += getattr(scaler, name).eq(value[lowest:])
        place, result_place = (Signal.like(activations.write_address, name=name, reset_less=True)
                               for name in ("place", "result_place"))
        with m.If(act[Action.WRITE_ADDRESS]):
            m.d.sync += place.eq(value)
        with m.Elif(bursts.byte_valid | act[Action.SCALE]):
            m.d.sync += place.eq(place + 1)
        with m.If(act[Action.SCALE]):
            m.d.sync += result_place.eq(place)
        m.d.comb += [
            scaler.set_exponent.eq(act[Action.EXPONENT]), scaler.exponent.eq(word),
            scaler.start.eq(act[Action.SCALE]), scaler.sum.eq(value), scaler.multiplier.eq(word),
            activations.write.eq(bursts.byte_valid | scaler.valid),
            activations.write_address.eq(Mux(scaler.valid, result_place, place)),
            activations.byte.eq(Mux(scaler.valid, scaler.result, bursts.byte)),
        ]
