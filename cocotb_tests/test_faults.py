"""Faults of memory, program and host on the generated Verilog: they are reported and leave nothing behind."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.accelerator import Accelerator
from systolith.verilog import to_verilog
from systolith_golden.machine import Machine
from systolith_golden.machine_error import MachineError
from systolith_sim.axi_memory import AXI_MEMORY_PUBLIC, AXI_MEMORY_SOURCE, axi_testbench_wrapper, memory_plusargs
from systolith_sim.cocotb_run import run
from systolith_spec.commands import COMMAND_BYTES, Engine, decode, encode
from systolith_spec.presets import preset
from test_accelerator import BASE, DATA, MEMORY, RESULT, SERIAL, matrix_product, pack

SIZE_LOG2 = 16
WATCHDOG = {"parallel": 2000, "serial": 5000}
"""More than the longest command takes."""
CONFIG = replace(preset("tiny-4x4"), name="faults")
both = pytest.mark.parametrize("config", [CONFIG, SERIAL, replace(SERIAL, name="single-port", activation_ports=1)],
                               ids=["parallel", "serial", "serial-single-port"])


def run_faults(test, simulator, waves, *, stall=20, config=CONFIG, **given):
    """Run one of the coroutines on a matrix product; returns its record."""
    commands, memory = matrix_product(config, vectors=12, inputs=12, outputs=8)
    program = np.frombuffer(b"".join(commands), np.uint8)
    memory[:program.size] = program
    wanted = memory.copy()
    Machine(config, wanted, writable=RESULT, check_hazards=True).run(0)
    assert (wanted != memory).any()
    wrapper = axi_testbench_wrapper("systolith", data_width=config.axi_data_width, id_width=1, memory_size_log2=SIZE_LOG2,
                                    extra_outputs=(("trace_retire", 4), ("trace_layer", 48)))
    results = run(
        to_verilog(Accelerator(config=config), "systolith"), top="testbench", test_module="faults_tb", simulator=simulator,
        test_filter=test, waves=waves, extra_sources=[AXI_MEMORY_SOURCE, wrapper], extra_public=AXI_MEMORY_PUBLIC,
        plusargs=memory_plusargs(read_latency=10, write_latency=10, stall=stall),
        arguments={"memory": pack(memory), "wanted": pack(wanted), "base": BASE, "limit": MEMORY, "size": 1 << SIZE_LOG2,
                   "writable": RESULT, "watchdog": WATCHDOG[config.control], "data_width": config.axi_data_width,
                   "commands": len(commands), **given})
    return results.records[0]


@both
def test_error_responses(config, simulator, waves):
    commands, _ = matrix_product(config, vectors=12, inputs=12, outputs=8)
    # In the order of the program: activations, weights, biases, scales.
    loads = [int.from_bytes(command[4:8], "little") for command in commands[:4]]
    regions = {"first command": (0, 4, 15), "last command": (COMMAND_BYTES * (len(commands) - 1), 4, 15),
               "result": (RESULT, 64, Engine.STORE)}
    regions |= {f"operand {index}": (offset, 4, Engine.LOAD) for index, offset in enumerate(loads)}
    assert min(loads) == DATA
    values = run_faults("error_responses", simulator, waves, config=config, regions=regions)
    assert len(values["cases"]) == 2 * len(regions)


@both
def test_memory_that_never_answers(config, simulator, waves):
    given = {"config": config, "delays": [0, 60, 150, 300, 450]}
    assert run_faults("memory_that_never_answers", simulator, waves, **given)["stopped"] >= 15


@pytest.mark.parametrize("most", [100, pytest.param(1000, marks=pytest.mark.slow)])
@both
def test_corrupted_commands(most, config, simulator, waves):
    values = run_faults("corrupted_commands", simulator, waves, config=config, stall=0, random=100, most=most)
    assert values["cases"] == most or values["cases"] > 500
    assert set(values["ends"]) >= {"NONE", "BAD_COMMAND", "WATCHDOG", "OUT_OF_RANGE"}


@both
def test_damaged_stores(config, simulator, waves):
    commands, memory = matrix_product(config, vectors=12, inputs=12, outputs=8)
    index = len(commands) - 2
    command, fields = decode(commands[index])
    assert command.name == "STORE"
    cases = [({"memory": memory}, memory) for memory in (0, COMMAND_BYTES * index, DATA, RESULT - 1)]
    cases += [({"length": 8, "count_1": 2, "memory_step_1": 2**32 - 64}, fields["memory"] - 64),
              ({"length": 8, "count_2": 3, "memory_step_2": 2**32 - 1}, fields["memory"] - 2)]
    given = []
    for changed, bad in cases:
        damaged = encode("STORE", **{**fields, **changed})
        given.append({"index": index, "command": damaged.hex(), "fields": changed, "bad": bad})
        # The machine model refuses the same.
        program = np.frombuffer(b"".join([*commands[:index], damaged, *commands[index + 1:]]), np.uint8)
        contents = memory.copy()
        contents[:program.size] = program
        with pytest.raises(MachineError, match=rf"\(STORE\): memory must be at least {RESULT:#x} \(WRITABLE\) from BASE"):
            Machine(config, contents, limit=MEMORY, writable=RESULT).run(0)
    assert run_faults("damaged_stores", simulator, waves, config=config, cases=given)["cases"] == len(cases)


@both
def test_token_starvation(config, simulator, waves):
    assert run_faults("token_starvation", simulator, waves, config=config)["starved"] >= 3


@both
def test_resets(config, simulator, waves):
    delays = [*range(0, 60, 7), *range(60, 700, 41)]
    assert run_faults("resets", simulator, waves, config=config, delays=delays)["resets"] == len(delays)


@both
def test_host_in_mid_run(config, simulator, waves):
    assert run_faults("host_in_mid_run", simulator, waves, config=config, runs=10)["accesses"] > 300
