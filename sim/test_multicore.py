"""Several cores on one memory: the limits that every answer must keep."""

import pytest

from systolith_compiler.compiler import compile_graph
from systolith_golden.cycles import predict
from systolith_golden.multicore import run_cores
from systolith_sim.convolution import convolution_graph
from systolith_sim.gemm import gemm_graph
from systolith_spec.presets import preset

CONFIG = preset("small-8x8")


def program(graph):
    image = compile_graph(graph, CONFIG, search=False)
    step = image.steps[0]
    return image.commands(step), step.program


@pytest.fixture(scope="module")
def product():
    """Limited by its weights."""
    commands, offset = program(gemm_graph(1, 256, 64, 1))
    return commands, offset, predict(CONFIG, commands, program_offset=offset)


@pytest.fixture(scope="module")
def layer():
    """Limited by its multiplications."""
    commands, offset = program(convolution_graph(16, 16, 16, 16))
    return commands, offset, predict(CONFIG, commands, program_offset=offset)


@pytest.mark.parametrize("work", ["product", "layer"])
def test_one_core_is_the_cycle_model(work, request):
    commands, offset, alone = request.getfixturevalue(work)
    assert run_cores(CONFIG, [commands], CONFIG.axi_bytes, program_offset=offset).cycles == [alone.total]
    faster = run_cores(CONFIG, [commands], 64 * CONFIG.axi_bytes, program_offset=offset)
    assert faster.cycles == [alone.total], "a core takes one beat a cycle, however fast the memory"


@pytest.mark.parametrize("work", ["product", "layer"])
@pytest.mark.parametrize("cores", [2, 5, 16])
@pytest.mark.parametrize("bandwidth", [4.0, 8.0, 32.0])
def test_bounds(work, cores, bandwidth, request):
    commands, offset, alone = request.getfixturevalue(work)
    run = run_cores(CONFIG, [commands] * cores, bandwidth, program_offset=offset)
    least = max(alone.total, cores * (alone.bytes_read + alone.bytes_written) / bandwidth)
    assert max(run.cycles) >= least
    assert max(run.cycles) <= cores * alone.total * max(1.0, CONFIG.axi_bytes / bandwidth) + 1
    assert 0 < run.memory_busy <= 1.0


def test_work_without_much_memory_scales(layer):
    commands, offset, alone = layer
    run = run_cores(CONFIG, [commands] * 4, 32.0, program_offset=offset)
    assert max(run.cycles) < 1.1 * alone.total


def test_work_of_memory_alone_does_not(product):
    commands, offset, alone = product
    run = run_cores(CONFIG, [commands] * 8, CONFIG.axi_bytes, program_offset=offset)
    assert max(run.cycles) > 7 * alone.total and run.memory_busy > 0.95


def test_half_the_bandwidth_takes_twice_as_long(product):
    commands, offset, _ = product
    full, half = (max(run_cores(CONFIG, [commands] * 8, rate, program_offset=offset).cycles) for rate in (8.0, 4.0))
    assert half == pytest.approx(2 * full, rel=0.05)


def test_different_programs(product, layer):
    run = run_cores(CONFIG, [product[0], layer[0]], CONFIG.axi_bytes)
    assert len(run.cycles) == 2 and run.cycles[0] >= product[2].total - 64 and run.cycles[1] >= layer[2].total - 64


def test_bandwidth_must_be_positive(product):
    with pytest.raises(ValueError, match="above 0 bytes per cycle, not 0"):
        run_cores(CONFIG, [product[0]], 0)
