"""No benchmark becomes slower unnoticed; no loss of cycles stays unexplained."""

import pytest

from systolith_compiler.compiler import compile_graph
from systolith_golden.cycles import predict
from systolith_golden.explanation import explain
from systolith_sim.benchmarks import BENCHMARK_PRESETS, BENCHMARKS, benchmark_cycles, benchmark_graph, recorded
from systolith_sim.random_networks import random_network
from systolith_spec.presets import PRESETS, preset

_SLOWER = 1.005
# One preset with serial control stands for all: it takes many commands.
_CONTROLS = [*(name for name, config in PRESETS.items() if config.control == "parallel"), "serial-4x4"]


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("config", BENCHMARK_PRESETS)
def test_not_slower_than_recorded(name, config):
    graph = benchmark_graph(name)
    if graph is None:
        pytest.skip("the folder of networks (SYSTOLITH_MODELS) is absent")
    cycles, before = benchmark_cycles(graph, config), recorded()[name][config]
    assert cycles <= before * _SLOWER, f"{cycles} cycles, {before} before: if this is intended, run `make benchmarks`"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("config", _CONTROLS)
def test_losses_add_up(config, seed):
    image = compile_graph(random_network(seed), preset(config))
    macs = {layer.index: layer.macs for layer in image.layers}
    for step in image.steps:
        if step.program is None:
            continue
        layers = explain(image.config, image.commands(step), macs, program_offset=step.program, program_limit=image.writable)
        total = predict(image.config, image.commands(step), program_offset=step.program, program_limit=image.writable).total
        assert sum(layer.cycles for layer in layers) == total
        for layer in layers:
            assert layer.macs + sum(layer.losses.values()) == layer.cycles * image.config.processing_elements
            assert min(layer.losses.values()) >= 0 and layer.cycles >= 0
