"""Vector engine with its real buffers, for tests in Verilog."""

from amaranth.hdl import Module, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith.activation_buffer import ActivationBuffer
from systolith.parameter_buffer import ParameterBuffer
from systolith.ports import ActivationReadPort, ActivationWritePort, ParameterWritePort
from systolith.vector_dispatcher import vector_command_layout
from systolith.vector_engine import VectorEngine
from systolith_sim.activation_client import connect_client
from systolith_spec.config import AcceleratorConfig

__all__ = ["VectorSystem", "vector_system_config"]


def vector_system_config(cols: int, lanes: int) -> AcceleratorConfig:
    """A geometry with an activation buffer of 2 KiB and 32 accumulator entries per half."""
    return AcceleratorConfig(
        name=f"test-{cols}-{lanes}",
        rows=4,
        cols=cols,
        vector_lanes=lanes,
        activation_bytes=2048,
        weight_bytes=1024,
        parameter_bytes=2048,
        accumulator_depth=32,
        parameter_groups=8,
        axi_data_width=32,
    )


class VectorSystem(Component):
    """A vector engine and its buffers, loaded through their write ports.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command, retire, busy, stall_input, stall_output
        As those of :class:`~systolith.vector_engine.VectorEngine`.
    store_read : ``In(ActivationReadPort.Signature(config))``
        A reader with priority over the engine.
    load_write : ``In(ActivationWritePort.Signature(config))``
        A writer that waits for the engine.
    parameter_write
        Write port of the parameter buffer.
    update_valid, update_entry, sums
        Update port of the accumulator buffer; updates overwrite the entry.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__(
            {
                "command": In(stream.Signature(vector_command_layout())),
                "store_read": In(ActivationReadPort.Signature(config)),
                "load_write": In(ActivationWritePort.Signature(config)),
                "parameter_write": In(ParameterWritePort.Signature(config)),
                "update_valid": In(1),
                "update_entry": In(range(config.accumulator_entries)),
                "sums": In(data.ArrayLayout(signed(config.sum_width), config.cols)),
                "retire": Out(1),
                "busy": Out(1),
                "stall_input": Out(1),
                "stall_output": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.engine = engine = VectorEngine(config=config)
        m.submodules.activation_buffer = activation_buffer = ActivationBuffer(config=config)
        m.submodules.accumulator_buffer = accumulator_buffer = AccumulatorBuffer(config=config)
        m.submodules.parameter_buffer = parameter_buffer = ParameterBuffer(config=config)
        connect(m, engine=engine.command, command=flipped(self.command))
        connect(m, engine=engine.activation_read, buffer=activation_buffer.vector_read)
        connect(m, engine=engine.activation_write, buffer=activation_buffer.vector_write)
        connect(m, engine=engine.accumulator_read, buffer=accumulator_buffer.read)
        connect(m, engine=engine.parameter_read, buffer=parameter_buffer.read)
        connect_client(m, config, activation_buffer.store_read, self.store_read)
        connect_client(m, config, activation_buffer.load_write, self.load_write)
        connect(m, buffer=parameter_buffer.write, parameter_write=flipped(self.parameter_write))
        m.d.comb += [
            accumulator_buffer.updates.valid.eq(self.update_valid),
            accumulator_buffer.updates.payload.entry.eq(self.update_entry),
            accumulator_buffer.updates.payload.overwrite.eq(1),
            accumulator_buffer.sums.eq(self.sums),
            self.retire.eq(engine.retire),
            self.busy.eq(engine.busy),
            self.stall_input.eq(engine.stall_input),
            self.stall_output.eq(engine.stall_output),
        ]
        return m
