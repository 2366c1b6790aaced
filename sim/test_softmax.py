"""SOFTMAX in the vector engine: against the machine model, alone and between other commands."""

import random
from dataclasses import replace

import pytest

from systolith_golden.tables import softmax_exponentials
from systolith_sim.vector_bench import VectorBench, random_vector_command
from systolith_spec import vector_timing as timing
from systolith_spec.commands import decode, encode
from systolith_spec.config import AcceleratorConfig

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes

CONFIG = AcceleratorConfig(
    name="softmax", rows=4, cols=4, vector_lanes=2, activation_bytes=2048, weight_bytes=1024, parameter_bytes=4096,
    accumulator_depth=64, parameter_groups=8, axi_data_width=32)  # fmt: skip
TABLE = 512  # word of the parameter buffer


def softmax(values, channels, destination, *, bank=0):
    """The two commands of a softmax."""
    return [
        encode("PARAMS", softmax=1, channels=channels, bias_base=TABLE, values=values, bank=bank),
        encode("VECTOR", source=1, bank=bank, y_count=1, x_count=1, ky_count=1, kx_count=1, channels=channels,
               destination=destination, zero_out=-128, minimum=-128, maximum=127),
    ]  # fmt: skip


def bench_for(config, *, scale=0.1, seed=0):
    bench = VectorBench(config, seed=seed)
    bench.parameter.view("<i4")[TABLE : TABLE + 256] = softmax_exponentials(scale, 1.0)
    return bench


@pytest.mark.parametrize(("scale", "changes"), [
    (1 / 256, {}), (0.05, {"cols": 3, "vector_lanes": 3}), (0.5, {"cols": 8, "vector_lanes": 8, "parameter_groups": 1}),
    (3.0, {}),
])  # fmt: skip
def test_rows_of_all_lengths(scale, changes):
    config = replace(CONFIG, **changes)
    commands = []
    for channels in range(1, min(config.table_channels, 17)):
        commands += softmax(7 * channels, channels, 1024 + 20 * channels, bank=channels % 2)
    bench_for(config, scale=scale, seed=3).run(commands)


@pytest.mark.parametrize("value", [-128, 127, 0])
def test_equal_values(value):
    bench = bench_for(CONFIG)
    bench.activation[:64] = value & 0xFF
    run = bench.run(softmax(0, 10, 1024))
    assert len(run.writes) == 5


@pytest.mark.parametrize("stall", [0, 0.3])
def test_between_other_commands(stall):
    generator = random.Random(5)
    bench = bench_for(CONFIG, seed=5)
    bench.fill_parameters(0, range(16), 32, [(1 << 30, -3)] * 16)
    tables = [encode("PARAMS", channels=16, bias_base=0, scale_base=32, bank=bank) for bank in range(2)]
    commands = []
    for number in range(6):
        bank = number % 2
        fields = random_vector_command(generator, CONFIG, source=number % 2, bank=bank)
        commands += [tables[bank], encode("VECTOR", **fields)]
        # Reads what the command before it wrote: it has to wait for that.
        commands += softmax(fields["destination"], 5, 1024 + 16 * number, bank=generator.randrange(2))
        commands += [tables[bank], encode("VECTOR", **fields)]
    bench.run(commands, read_stall=stall, write_stall=stall, command_stall=stall)


@pytest.mark.parametrize("channels", [1, 2, 10, 16])
def test_cycles(channels):
    run = bench_for(CONFIG).run(softmax(0, channels, 1024))
    fields = decode(softmax(0, channels, 1024)[0])[1]
    assert run.retired[0] - run.accepted[0] == timing.params_latency(CONFIG, fields)
    assert run.reads[2 * channels] == run.accepted[0] + timing.params_end(CONFIG, fields) + timing.vector_start(CONFIG) - 1
