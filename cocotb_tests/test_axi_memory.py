"""Tests of the AXI memory for simulation, against cocotbext-axi and by hand."""

from pathlib import Path

import numpy as np
import pytest

from systolith_sim.axi_memory import (
    AXI_MEMORY_PUBLIC,
    AXI_MEMORY_SOURCE,
    axi_testbench_wrapper,
    memory_plusargs,
    write_memory_file,
)
from systolith_sim.cocotb_run import SimulationError, run

READER = Path(__file__).with_name("axi_reader.sv")


def start(simulator, data_width, test_filter, *, plusargs=(), waves=None, **arguments):
    """Run one of the cocotb tests on the bare memory."""
    return run(AXI_MEMORY_SOURCE, top="axi_memory", test_module="axi_memory_tb", simulator=simulator,
               test_filter=test_filter, parameters={"DATA_WIDTH": data_width, "ID_WIDTH": 4},
               extra_public=AXI_MEMORY_PUBLIC, plusargs=plusargs, waves=waves,
               arguments={"data_width": data_width, **arguments})


@pytest.mark.parametrize("data_width", [32, 64, 128])
def test_memory(simulator, waves, data_width):
    results = start(simulator, data_width, "keeps_what|full_speed|silent", waves=waves)
    assert results.num_tests == 4 + 6 + 4
    assert results.records[-1]["reads"] > 100 and results.records[-1]["writes"] > 1000


def test_error_responses(simulator):
    start(simulator, 64, "reports_errors", plusargs=memory_plusargs(
        slverr=range(0x2000, 0x2100), decerr=range(0x3000, 0x3040), fill=0x87654321))


@pytest.mark.parametrize("data_width", [32, 64, 128])
def test_contents(simulator, tmp_path, data_width):
    generator = np.random.default_rng(1)
    contents = {address: generator.bytes(length)
                for address, length in [(0, 64), (0x101, 1), (0x102, 3), (0x1007, 100), (0x2000, 37)]}
    write_memory_file(tmp_path / "memory.hex", contents, data_width=data_width)
    start(simulator, data_width, "shows_its_contents", plusargs=[f"+memory={tmp_path / 'memory.hex'}"],
          contents=[(address, data.hex()) for address, data in contents.items()])


def test_protocol_violations_fail_the_run(simulator):
    with pytest.raises(SimulationError, match="reported an error: AXI: AR burst must not cross") as error:
        start(simulator, 64, "misbehaves")
    lines = [line for line in str(error.value).splitlines() if "SIMULATION_ERROR" in line]
    for line, message in zip(lines, [
        "AR burst must not cross 4 KiB, as 00000ff0 + 3 beats does",
        "AWBURST must be INCR",
        "ARSIZE must be the bus width",
        "WLAST must be 0 in beat 2 of a burst of 3",
        "W payload must be stable until",
        "WVALID must stay high until",
    ], strict=True):
        assert message in line


def test_testbench_wrapper(simulator, tmp_path, waves):
    words = np.random.default_rng(2).integers(0, 2**32, 4096, dtype=np.uint32)
    write_memory_file(tmp_path / "memory.hex", {0x40000000: words.tobytes()}, data_width=64, base=0x40000000)
    wrapper = axi_testbench_wrapper("axi_reader", data_width=64, id_width=2, memory_size_log2=16,
                                    extra_outputs=[("sum", 32), ("errors", 32)])
    write_memory_file(tmp_path / "memory.hex", words.tobytes(), data_width=64)
    results = run(READER, top="testbench", test_module="axi_memory_tb", simulator=simulator, waves=waves,
                  test_filter="testbench_runs_alone", extra_sources=[AXI_MEMORY_SOURCE, wrapper],
                  plusargs=[f"+memory={tmp_path / 'memory.hex'}", *memory_plusargs(read_latency=20)],
                  arguments={"outputs": ("ready", "bvalid", "rvalid", "bresp", "rresp", "rdata")})
    (values,) = results.records
    assert values["errors"] == 0
    assert values["sum"] == int(words[0:2048:2].sum(dtype=np.uint64)) % 2**32
    assert values["beats"] == 1024
    assert 1024 + 20 <= values["cycles"] <= 1024 + 25, "one beat per cycle after the latency of the first"


def test_refuses_nonsense(tmp_path):
    with pytest.raises(ValueError, match=r"^Data width must be 32, 64 or 128, not 16$"):
        axi_testbench_wrapper("dut", data_width=16, id_width=1)
    with pytest.raises(ValueError, match=r"^Memory base must be a multiple of its size 0x1000, not 0x800$"):
        axi_testbench_wrapper("dut", data_width=32, id_width=1, memory_size_log2=12, memory_base=0x800)
    with pytest.raises(ValueError, match=r"^Stall percentage must be 0 to 99, not 100$"):
        memory_plusargs(stall=100)
    with pytest.raises(TypeError, match=r"^Stalls must be of the channels"):
        memory_plusargs(stall_x=1)
    with pytest.raises(ValueError, match=r"^Address must be at least 0x100, not 0x0$"):
        write_memory_file(tmp_path / "m", {0: b"1"}, data_width=32, base=0x100)
