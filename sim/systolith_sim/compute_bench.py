"""What the tests of the compute engine share: random commands, their golden result, an engine with its buffers."""

import random

import numpy as np
from amaranth.hdl import Module
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from systolith.accumulator_buffer import AccumulatorReadPort
from systolith.activation_buffer import ActivationBuffer
from systolith.compute_engine import ComputeEngine
from systolith.ports import ActivationReadPort, ActivationWritePort, WeightWritePort
from systolith.shapes import command_layout
from systolith.weight_buffer import WeightBuffer
from systolith_golden.machine import Machine
from systolith_sim.activation_client import connect_client
from systolith_spec.column_mode import column_outputs
from systolith_spec.commands import encode
from systolith_spec.config import AcceleratorConfig

__all__ = ["ComputeSystem", "compatible_commands", "golden_machine", "random_command", "small_config"]


def small_config(rows: int, cols: int) -> AcceleratorConfig:
    """A geometry with buffers of 4 KiB, 64 accumulator entries per half and column mode with up to three streams."""
    return AcceleratorConfig(name=f"test-{rows}x{cols}", rows=rows, cols=cols, activation_bytes=4096, weight_bytes=4096,
                             accumulator_depth=64, vector_lanes=1, parameter_groups=64, axi_data_width=32,
                             depthwise_streams=min(3, rows // 2), line_depth=16)


class ComputeSystem(Component):
    """A compute engine with its activation and weight buffers, loaded through their write ports.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    command, accumulators, retire, busy, stall_input
        As those of :class:`~systolith.compute_engine.ComputeEngine`.
    vector_read : ``In(ActivationReadPort.Signature(config))``
        A reader with priority over the engine.
    load_write, weight_write
        Write ports of the buffers.
    """

    def __init__(self, *, config):
        self._config = config
        super().__init__({
            "command": In(stream.Signature(command_layout("COMPUTE"))),
            "accumulators": In(AccumulatorReadPort.Signature(config)),
            "vector_read": In(ActivationReadPort.Signature(config)),
            "load_write": In(ActivationWritePort.Signature(config)),
            "weight_write": In(WeightWritePort.Signature(config)),
            "retire": Out(1),
            "busy": Out(1),
            "stall_input": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.engine = engine = ComputeEngine(
            config=config, activation_read_latency=ActivationBuffer.read_latency,
            weight_read_latency=WeightBuffer.read_latency)
        m.submodules.activation_buffer = activation_buffer = ActivationBuffer(config=config)
        m.submodules.weight_buffer = weight_buffer = WeightBuffer(config=config)
        connect(m, engine=engine.activations, buffer=activation_buffer.compute_read)
        connect(m, engine=engine.weights, buffer=weight_buffer.read)
        connect(m, engine=engine.command, command=flipped(self.command))
        connect(m, engine=engine.accumulators, accumulators=flipped(self.accumulators))
        connect_client(m, config, activation_buffer.vector_read, self.vector_read)
        connect_client(m, config, activation_buffer.load_write, self.load_write)
        connect(m, buffer=weight_buffer.write, weight_write=flipped(self.weight_write))
        m.d.comb += [
            activation_buffer.compute_urgent.eq(engine.urgent),
            self.retire.eq(engine.retire), self.busy.eq(engine.busy), self.stall_input.eq(engine.stall_input),
        ]
        return m


def random_command(config: AcceleratorConfig, generator: random.Random, *, vectors: int | None = None,
                   tiles: int | None = None) -> dict[str, int]:
    """Fields of a COMPUTE command whose window has padding, strides and dilation and stays in the buffers.

    Without `vectors` and `tiles` some commands are of column mode, if the configuration has it.

    Parameters
    ----------
    config : AcceleratorConfig
    generator : random.Random
    vectors, tiles : int or None
        Vectors per tile and tiles (all along kx), if they matter; else random.
    """
    rows = generator.randint(1, 6)
    pitch = generator.randint(1, 40)
    start = generator.randrange(config.activation_bytes - rows * pitch)
    first_row = generator.randint(-2, 2)
    y_count, x_count = 1, vectors
    columns = {}
    if vectors is None:
        y_count, x_count = generator.randint(1, 4), generator.randint(1, 5)
        if tiles is None and config.depthwise_streams and generator.random() < 0.4:
            columns = _random_columns(config, generator)
            y_count, x_count = columns.pop("y_count"), columns.pop("x_count")
    counts = [1, 1, tiles, 1]
    if tiles is None:
        counts = [1, 1, 1, 1]
        for _ in range(generator.choice([0, 1, 3])):
            counts[generator.randrange(4)] += 1
    ky_count, kx_count, chunk_count, block_count = counts
    y_row_step, ky_row_step = generator.randint(0, 3), generator.randint(0, 3)
    if columns:
        chunk_count = 1
    outputs = column_outputs({"y_count": y_count, "x_count": x_count, **columns})
    block_step = outputs + generator.randint(0, 3)
    used_entries = (block_count - 1) * block_step + outputs
    weight_beats = -(-ky_count * kx_count * chunk_count * block_count * config.tile_bytes // config.axi_bytes)
    return {
        "accumulate": generator.randrange(2), "pad": generator.randint(-128, 127),
        "base": (start + first_row * pitch) % (1 << 24), "first_row": first_row, "rows": rows,
        "first_byte": generator.randint(-2 * config.rows, 5), "row_bytes": generator.randint(1, pitch),
        "y_count": y_count, "y_row_step": y_row_step, "y_addr_step": y_row_step * pitch,
        "x_count": x_count, "x_byte_step": generator.randint(-3, 9),
        "ky_count": ky_count, "ky_row_step": ky_row_step, "ky_addr_step": ky_row_step * pitch,
        "kx_count": kx_count, "kx_byte_step": generator.randint(-3, 9),
        "chunk_count": chunk_count, "block_count": block_count, "block_step": block_step,
        "accumulator": generator.randint(0, config.accumulator_entries - used_entries),
        "weights": generator.randint(0, config.weight_bytes // config.axi_bytes - weight_beats) * config.axi_bytes,
        **columns,
    }


def _random_columns(config: AcceleratorConfig, generator: random.Random) -> dict[str, int]:
    """Fields of a column-mode tile that holds all that its sums need, whatever the weights are."""
    streams, taps = config.depthwise_streams, config.depthwise_taps
    reach = config.rows - 1 - (streams - 1) * taps
    skip_rows = streams - 1 + generator.randint(0, 1)
    x_count = generator.randint(1 + reach, config.line_depth - taps)
    return {
        "column_mode": 1, "y_count": skip_rows + generator.randint(1, 3), "x_count": x_count, "skip_rows": skip_rows,
        "valid_columns": generator.randint(1, x_count - reach), "column_step": generator.randint(1, 3),
    }


def _tile_entries(command):
    vectors = column_outputs(command)
    starts = (command["accumulator"] + block * command["block_step"] for block in range(command["block_count"]))
    return [range(start, start + vectors) for start in starts]


def _has_columns(*commands):
    return any(command.get("column_mode", 0) for command in commands)


def compatible_commands(commands: list[dict[str, int]]) -> list[dict[str, int]]:
    """Drop commands whose accumulator entries partly overlap those shortly before, which the engine excludes.

    Those of column mode must not overlap at all: how soon they come depends on the rows that they skip.
    """
    kept = []
    for command in commands:
        recent = [(entries, earlier) for earlier in kept[-4:] for entries in _tile_entries(earlier)]
        if all(not set(new) & set(old) or (new == old and not _has_columns(command, earlier))
               for new in _tile_entries(command) for old, earlier in recent):
            kept.append(command)
    return kept


def golden_machine(config: AcceleratorConfig, commands: list[dict[str, int]], *, seed: int = 0,
                   extremes: bool = False) -> Machine:
    """A golden machine with random buffer contents and zero accumulators; ``run(0)`` executes the commands.

    Parameters
    ----------
    config : AcceleratorConfig
    commands : list of dict
    seed : int
    extremes : bool
        Contents of -128 and 127 only.
    """
    contents = np.random.default_rng(seed)
    program = b"".join(encode("COMPUTE", **command) for command in commands) + encode("END")
    machine = Machine(config, bytearray(program.ljust(-(-len(program) // 4096) * 4096, b"\0")))
    for buffer in (machine.activation, machine.weight):
        buffer[:] = contents.choice(np.array([0x80, 0x7F]) if extremes else np.arange(256), len(buffer))
    machine.accumulators[:] = 0
    return machine
