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
from systolith_spec.commands import encode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.timing import compute_vectors

__all__ = ["ComputeSystem", "compatible_commands", "golden_machine", "random_command", "small_config"]


def small_config(rows: int, cols: int) -> AcceleratorConfig:
    """A geometry with buffers of 4 KiB and 64 accumulator entries per half."""
    return AcceleratorConfig(name=f"test-{rows}x{cols}", rows=rows, cols=cols, activation_bytes=4096, weight_bytes=4096,
                             accumulator_depth=64, vector_lanes=1, parameter_groups=64, axi_data_width=32)


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
        connect(m, buffer=activation_buffer.vector_read, vector_read=flipped(self.vector_read))
        connect(m, buffer=activation_buffer.load_write, load_write=flipped(self.load_write))
        connect(m, buffer=weight_buffer.write, weight_write=flipped(self.weight_write))
        m.d.comb += [
            activation_buffer.compute_urgent.eq(engine.urgent),
            self.retire.eq(engine.retire), self.busy.eq(engine.busy), self.stall_input.eq(engine.stall_input),
        ]
        return m


def random_command(config: AcceleratorConfig, generator: random.Random, *, vectors: int | None = None,
                   tiles: int | None = None) -> dict[str, int]:
    """Fields of a COMPUTE command whose window has padding, strides and dilation and stays in the buffers.

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
    if vectors is None:
        y_count, x_count = generator.randint(1, 4), generator.randint(1, 5)
    counts = [1, 1, tiles, 1]
    if tiles is None:
        counts = [1, 1, 1, 1]
        for _ in range(generator.choice([0, 1, 3])):
            counts[generator.randrange(4)] += 1
    ky_count, kx_count, chunk_count, block_count = counts
    y_row_step, ky_row_step = generator.randint(0, 3), generator.randint(0, 3)
    block_step = y_count * x_count + generator.randint(0, 3)
    used_entries = (block_count - 1) * block_step + y_count * x_count
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
    }


def _tile_entries(command):
    vectors = compute_vectors(command)
    starts = (command["accumulator"] + block * command["block_step"] for block in range(command["block_count"]))
    return [range(start, start + vectors) for start in starts]


def compatible_commands(commands: list[dict[str, int]]) -> list[dict[str, int]]:
    """Drop commands whose accumulator entries partly overlap those shortly before, which the engine excludes."""
    kept = []
    for command in commands:
        recent = [entries for earlier in kept[-4:] for entries in _tile_entries(earlier)]
        if all(new == old or not set(new) & set(old) for new in _tile_entries(command) for old in recent):
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
