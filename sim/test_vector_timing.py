"""The vector engine takes exactly the cycles that systolith_spec.vector_timing states."""

from dataclasses import replace

import pytest

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith.activation_buffer import ActivationBuffer
from systolith.operand_scaler import OperandScaler
from systolith.parameter_buffer import ParameterBuffer
from systolith.requantizer import Requantizer
from systolith.vector_pipeline import VectorPipeline
from systolith_sim.vector_bench import VectorBench
from systolith_spec import vector_timing as timing
from systolith_spec.commands import decode, encode
from systolith_spec.config import AcceleratorConfig

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")  # attributes, errors

CONFIG = AcceleratorConfig(
    name="test",
    rows=4,
    cols=4,
    vector_lanes=2,
    activation_bytes=1024,
    weight_bytes=1024,
    parameter_bytes=1024,
    accumulator_depth=64,
    parameter_groups=8,
    axi_data_width=32,
)
CONFIGS = {
    "full": CONFIG,
    "no-add": replace(CONFIG, residual_add=False),
    "no-pooling": replace(CONFIG, residual_add=False, pooling=False, softmax=False),
    "three-lanes": replace(CONFIG, cols=3, vector_lanes=3),
}


def vector(source, channels=5, **fields):
    """Two by three pixels, of a two by two window in the case of an activation source."""
    values = dict(
        source=source,
        y_count=2,
        x_count=3,
        channels=channels,
        block_step=6,
        destination=512,
        destination_y=60,
        destination_x=20,
        minimum=-128,
        maximum=127,
        base=0,
    )
    if source:
        values.update(
            rows=8,
            row_bytes=100,
            y_row_step=1,
            y_addr_step=100,
            x_byte_step=10,
            ky_count=2,
            kx_count=2,
            ky_row_step=1,
            ky_addr_step=100,
            kx_byte_step=10,
        )
    return encode("VECTOR", **{**values, **fields})


def fields(command):
    return decode(command)[1]


PARAMS = encode("PARAMS", channels=9, scale_base=20)
IMMEDIATE = encode("PARAMS", channels=1, bias_immediate=1, scale_immediate=1, multiplier=1 << 30)


def run(config, commands):
    """Simulate; the tables may be empty, so results are not compared."""
    return VectorBench(config).run(commands, check=False)


def sources(config):
    return (0, 1) if config.pooling else (0,)


def test_constants_are_those_of_the_hardware():
    assert timing.ACCUMULATOR_READ_LATENCY == AccumulatorBuffer.read_latency
    assert timing.ACTIVATION_READ_LATENCY == ActivationBuffer.read_latency
    assert timing.PARAMETER_READ_LATENCY == ParameterBuffer.read_latency
    assert timing.REQUANTIZER_LATENCY == Requantizer.latency
    assert timing.OPERAND_SCALER_LATENCY == OperandScaler.latency


@pytest.mark.parametrize("name", CONFIGS)
def test_pipeline_latency(name):
    pipeline = VectorPipeline(config=CONFIGS[name])
    assert timing.vector_pipeline(CONFIGS[name], 0) == pipeline.accumulator_latency
    assert timing.vector_pipeline(CONFIGS[name], 1) == pipeline.activation_latency


@pytest.mark.parametrize("name", CONFIGS)
def test_a_command_alone(name):
    config = CONFIGS[name]
    for source in sources(config):
        command = vector(source)
        cycles = run(config, [command])
        elements = timing.vector_elements(config, fields(command))
        first = cycles.accepted[0] + timing.vector_start(config)
        assert cycles.reads == list(range(first, first + elements))
        assert len(cycles.writes) == timing.vector_results(config, fields(command))
        assert cycles.writes[-1] == cycles.reads[-1] + timing.vector_write_latency(config, source)
        assert cycles.retired[0] - cycles.accepted[0] == timing.vector_latency(config, fields(command))
        assert cycles.stall_input == cycles.stall_output == 0


@pytest.mark.parametrize("name", CONFIGS)
def test_commands_of_one_source_follow_without_gaps(name):
    config = CONFIGS[name]
    for source in sources(config):
        # The division of three lanes hides behind the large ones.
        commands = [
            vector(source, channels=channels)
            for channels in ((14, 18, 16) if name == "three-lanes" else (1, 5, 1, 2, 4))
        ]
        cycles = run(config, commands)
        elements = sum(timing.vector_elements(config, fields(command)) for command in commands)
        assert cycles.reads[0] == cycles.accepted[0] + timing.vector_start(config)
        assert cycles.reads == list(range(cycles.reads[0], cycles.reads[0] + elements))
        assert len(cycles.writes) == sum(
            timing.vector_results(config, fields(command)) for command in commands
        )


@pytest.mark.parametrize("name", CONFIGS)
def test_one_result_per_cycle_for_long(name):
    """The queue of results is deep enough for the pipeline."""
    config = CONFIGS[name]
    for source in sources(config):
        window = dict(ky_count=1, kx_count=1, row_bytes=400, x_byte_step=1) if source else {}
        command = vector(source, y_count=1, x_count=64, channels=1, destination_x=1, **window)
        cycles = run(config, [command] * 3)
        assert cycles.writes == list(range(cycles.writes[0], cycles.writes[0] + 192))


@pytest.mark.parametrize("name", CONFIGS)
def test_fence(name):
    config = CONFIGS[name]
    for first in sources(config):
        for second in sources(config):
            commands = [vector(first), vector(second, fence=1)]
            cycles = run(config, commands)
            last = timing.vector_elements(config, fields(commands[0])) - 1
            assert cycles.reads[last + 1] - cycles.reads[last] == timing.vector_fence_gap(config, first)


@pytest.mark.parametrize("name", ["full", "no-add"])
@pytest.mark.parametrize("first", [0, 1])
def test_change_of_source(name, first):
    config = CONFIGS[name]
    commands = [vector(first), vector(1 - first)]
    cycles = run(config, commands)
    last = timing.vector_elements(config, fields(commands[0])) - 1
    assert cycles.reads[last + 1] - cycles.reads[last] == timing.vector_switch_gap(config, first)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("command", [PARAMS, IMMEDIATE])
def test_parameters(name, command):
    config = CONFIGS[name]
    cycles = run(config, [command, vector(0)])
    assert cycles.retired[0] - cycles.accepted[0] == timing.params_latency(config, fields(command))
    ready = cycles.accepted[0] + timing.params_end(config, fields(command))
    divided = cycles.accepted[1] + 1 + timing.vector_division(config)
    assert (
        cycles.reads[0]
        == max(ready, divided) + timing.vector_start(config) - timing.vector_division(config) - 1
    )


def test_parameters_of_the_other_bank_load_while_a_command_runs():
    slow = vector(0, channels=13, block_step=6)
    cycles = run(CONFIG, [slow, encode("PARAMS", channels=4, bank=1, scale_base=20), vector(0, bank=1)])
    # No gap: the eight writes end before the 42 reads do.
    assert cycles.reads == list(range(cycles.reads[0], cycles.reads[0] + 42 + 18))
