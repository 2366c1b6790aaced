"""The accelerator: command processor, four engines and their buffers behind AXI4 and AXI4-Lite."""

from amaranth import *
from amaranth.lib.wiring import Component, In, Out, connect
from amaranth.utils import exact_log2

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith.activation_buffer import ActivationBuffer
from systolith.axi import AXI_BURST_INCR, AXI_ID_WIDTH
from systolith.axi_read_arbiter import AxiReadArbiter
from systolith.command_processor import CommandProcessor
from systolith.compute_engine import ComputeEngine
from systolith.load_engine import LoadEngine
from systolith.parameter_buffer import ParameterBuffer
from systolith.processing_element import ProcessingElement
from systolith.register_file import axi_lite_members
from systolith.serial.serial_accelerator import SerialAccelerator
from systolith.shapes import MEMORY_WIDTH
from systolith.store_engine import StoreEngine
from systolith.vector_engine import VectorEngine
from systolith.weight_buffer import WeightBuffer
from systolith_spec.commands import Engine

__all__ = ["Accelerator", "accelerator_latencies", "accelerator_members"]


def _axi4_members(config):
    address = {"valid": Out(1), "ready": In(1), "addr": Out(MEMORY_WIDTH), "len": Out(8), "size": Out(3),
               "burst": Out(2), "id": Out(AXI_ID_WIDTH)}
    channels = {
        "aw": address,
        "w": {"valid": Out(1), "ready": In(1), "data": Out(config.axi_data_width), "strb": Out(config.axi_bytes),
              "last": Out(1)},
        "b": {"valid": In(1), "ready": Out(1), "resp": In(2), "id": In(AXI_ID_WIDTH)},
        "ar": address,
        "r": {"valid": In(1), "ready": Out(1), "data": In(config.axi_data_width), "resp": In(2), "last": In(1),
              "id": In(AXI_ID_WIDTH)},
    }
    return {f"m_axi_{channel}{name}": member for channel, members in channels.items()
            for name, member in members.items()}


def accelerator_members(config):
    """Signature members of an accelerator."""
    return {
        **_axi4_members(config),
        **axi_lite_members(),
        "irq": Out(1),
        "trace_retire": Out(len(Engine)),
        "trace_layer": Out(12 * len(Engine)),
    }


def accelerator_latencies(config):
    """Fixed latencies of an accelerator in cycles, by name."""
    return {
        "activation_read": ActivationBuffer.read_latency,
        "weight_read": WeightBuffer.read_latency,
        "parameter_read": ParameterBuffer.read_latency,
        "systolic_array": config.rows - 1 + ProcessingElement.latency,
        "accumulator_update": AccumulatorBuffer.update_latency,
        "accumulator_read": AccumulatorBuffer.read_latency,
    }


class Accelerator(Component):
    """Top level. All ports are flat and named as the AXI signals, in lower case.

    The LOAD engine fills the weight, parameter and activation buffers; the compute engine streams
    activations through the array into its accumulators; the vector engine moves accumulators or activations to
    the activation buffer; the STORE engine writes those to main memory. The command processor hands out the
    commands; the engines synchronise by its tokens only.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    m_axi_* : AXI4 manager
        Data width ``config.axi_data_width``, incrementing bursts of full width only, read ids 0 (LOAD) and 1
        (commands), write id 0.
    s_axil_* : AXI4-Lite subordinate
        Registers, see ``systolith_spec.registers``.
    irq : ``Out(1)``
        Interrupt, level.
    trace_retire : ``Out(4)``, trace_layer : ``Out(48)``
        Engine e has retired a command of layer ``trace_layer[12*e:12*e+12]``. For simulation reports; leave
        them open otherwise.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(accelerator_members(config))

    @property
    def config(self):
        """Configuration."""
        return self._config

    @property
    def latencies(self):
        """Fixed latencies in cycles, by name."""
        return accelerator_latencies(self.config)

    def elaborate(self, platform):
        if self.config.control == "serial":
            return self._serial()
        m = Module()
        m.submodules.processor = processor = CommandProcessor(config=self.config)
        m.submodules.load = load = LoadEngine(config=self.config)
        # A register: this reset goes to all corners of the chip. Between two runs it is high for more cycles than that takes.
        engine_reset = Signal(init=1)
        m.d.sync += engine_reset.eq(processor.reset)
        m.submodules.compute = compute = ResetInserter(engine_reset)(ComputeEngine(config=self.config))
        m.submodules.vector = vector = ResetInserter(engine_reset)(VectorEngine(config=self.config))
        m.submodules.store = store = StoreEngine(config=self.config)
        engines = {Engine.LOAD: load, Engine.COMPUTE: compute, Engine.VECTOR: vector, Engine.STORE: store}
        for engine, component in engines.items():
            self._control(m, processor.engines[engine], component)
        for name in ("load", "store"):
            component = {"load": load, "store": store}[name]
            m.d.comb += [
                getattr(processor, f"{name}_error").eq(component.error),
                component.abort.eq(processor.abort),
                component.base.eq(processor.base),
                component.limit.eq(processor.limit),
            ]
        m.d.comb += store.writable.eq(processor.writable)
        self._buffers(m, load, compute, vector, store)
        self._manager(m, processor, load, store)
        self._subordinate(m, processor)
        return m

    def _serial(self):
        m = Module()
        members = accelerator_members(self.config)
        m.submodules.serial = serial = SerialAccelerator(config=self.config, members=members)
        for name, member in members.items():
            inner, outer = getattr(serial, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m

    def _control(self, m, port, engine):
        m.d.comb += [
            # The same 512 bits; each engine sees the fields of its own commands.
            Value.cast(engine.command.payload).eq(port.command.payload),
            engine.command.valid.eq(port.command.valid),
            port.command.ready.eq(engine.command.ready),
            port.retire.eq(engine.retire),
            port.busy.eq(engine.busy),
            port.stall_input.eq(engine.stall_input),
            port.stall_output.eq(engine.stall_output),
        ]

    def _buffers(self, m, load, compute, vector, store):
        m.submodules.activation_buffer = activation = ActivationBuffer(config=self.config)
        m.submodules.weight_buffer = weight = WeightBuffer(config=self.config)
        m.submodules.parameter_buffer = parameter = ParameterBuffer(config=self.config)
        connect(m, engine=load.activation, buffer=activation.load_write)
        connect(m, engine=vector.activation_write, buffer=activation.vector_write)
        connect(m, engine=compute.activations, buffer=activation.compute_read)
        m.d.comb += activation.compute_urgent.eq(compute.urgent)
        connect(m, engine=vector.activation_read, buffer=activation.vector_read)
        connect(m, engine=store.activation, buffer=activation.store_read)
        connect(m, engine=load.weight, buffer=weight.write)
        connect(m, engine=compute.weights, buffer=weight.read)
        connect(m, engine=load.parameter, buffer=parameter.write)
        connect(m, engine=vector.parameter_read, buffer=parameter.read)
        connect(m, engine=vector.accumulator_read, buffer=compute.accumulators)

    def _manager(self, m, processor, load, store):
        m.submodules.arbiter = arbiter = AxiReadArbiter(config=self.config)
        connect(m, reader=load.axi, arbiter=arbiter.load)
        connect(m, reader=processor.axi, arbiter=arbiter.fetch)
        self._outgoing(m, "ar", arbiter.bus.ar)
        self._incoming(m, "r", arbiter.bus.r)
        self._outgoing(m, "aw", store.axi.aw)
        self._outgoing(m, "w", store.axi.w)
        self._incoming(m, "b", store.axi.b)
        for channel in ("aw", "ar"):
            m.d.comb += [
                getattr(self, f"m_axi_{channel}size").eq(exact_log2(self.config.axi_bytes)),
                getattr(self, f"m_axi_{channel}burst").eq(AXI_BURST_INCR),
            ]
        m.d.comb += [
            processor.read_beat.eq(self.m_axi_rvalid & self.m_axi_rready),
            processor.write_beat.eq(self.m_axi_wvalid & self.m_axi_wready),
        ]

    def _outgoing(self, m, channel, port):
        prefix = f"m_axi_{channel}"
        m.d.comb += [
            getattr(self, prefix + "valid").eq(port.valid),
            port.ready.eq(getattr(self, prefix + "ready")),
        ]
        for name, _field in port.payload.shape():
            m.d.comb += getattr(self, prefix + name).eq(port.payload[name])

    def _incoming(self, m, channel, port):
        prefix = f"m_axi_{channel}"
        m.d.comb += [
            port.valid.eq(getattr(self, prefix + "valid")),
            getattr(self, prefix + "ready").eq(port.ready),
        ]
        for name, _field in port.payload.shape():
            m.d.comb += port.payload[name].eq(getattr(self, prefix + name))

    def _subordinate(self, m, processor):
        for name in axi_lite_members():
            inner, outer = getattr(processor, name), getattr(self, name)
            inward = self.signature.members[name].flow == In
            m.d.comb += inner.eq(outer) if inward else outer.eq(inner)
        m.d.comb += [
            self.irq.eq(processor.irq),
            self.trace_retire.eq(processor.trace_retire),
            self.trace_layer.eq(processor.trace_layer),
        ]
