"""The vector engine against the machine-level golden model."""

import random

import numpy as np
import pytest
from amaranth.hdl import Signal
from systolith_sim.vector_bench import VectorBench, random_vector_command

from systolith.vector_engine import VectorEngine
from systolith_spec.commands import Rounding, encode
from systolith_spec.config import AcceleratorConfig


def geometry(cols, lanes, **changes):
    values = dict(
        name="test", rows=4, cols=cols, vector_lanes=lanes, activation_bytes=2048, weight_bytes=1024,
        parameter_bytes=2048, accumulator_depth=32, parameter_groups=8, axi_data_width=32)
    return AcceleratorConfig(**{**values, **changes})


GEOMETRIES = [(2, 1), (2, 2), (3, 1), (3, 3), (4, 2), (4, 4), (8, 1), (8, 2), (8, 8)]


def scales(generator, count, low=-12, high=-2):
    return [(generator.randint(1 << 30, (1 << 31) - 1), generator.randint(low, high)) for _ in range(count)]


def loaded_bench(config, seed, banks=2):
    """Bench with random parameters, and the PARAMS commands that load them into both banks."""
    generator = random.Random(seed)
    bench = VectorBench(config, seed=seed)
    count = config.table_channels
    commands = []
    base = 0
    for bank in range(banks):
        base += base % 2
        biases = [generator.randint(-20000, 20000) for _ in range(count)]
        bench.fill_parameters(base, biases, base + count + count % 2, scales(generator, count))
        a, b = scales(generator, 2, -20, -18)
        commands.append(encode(
            "PARAMS", bank=bank, bias_base=base, scale_base=base + count + count % 2, channels=count,
            multiplier_a=a[0], exponent_a=a[1], multiplier_b=b[0], exponent_b=b[1]))
        base += 3 * count + 1
    return generator, bench, commands


def immediate(bank=0, bias=0, multiplier=1 << 30, exponent=1, **fields):
    """PARAMS that give all channels the same values; the default is the identity."""
    return encode("PARAMS", bank=bank, bias_immediate=1, scale_immediate=1, bias=bias, multiplier=multiplier,
                  exponent=exponent, channels=1, **fields)


@pytest.mark.parametrize("cols,lanes", GEOMETRIES)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_random_commands_of_all_sorts(cols, lanes, stall):
    generator, bench, commands = loaded_bench(geometry(cols, lanes), seed=cols * 10 + lanes)
    for _ in range(30):
        fields = random_vector_command(generator, bench.config, source=generator.randint(0, 1),
                                       bank=generator.randint(0, 1), small=generator.random() < 0.3)
        commands.append(encode("VECTOR", **fields))
        if generator.random() < 0.2:
            commands.append(immediate(bank=generator.randint(0, 1), bias=generator.randint(-99, 99),
                                      multiplier=generator.randint(1 << 30, (1 << 31) - 1),
                                      exponent=generator.randint(-9, -3)))
    bench.run(commands, read_stall=stall, write_stall=stall, command_stall=stall)
