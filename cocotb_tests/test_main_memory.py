"""The main memory of boards, against the bus model of cocotbext-axi."""

from dataclasses import replace

import pytest

from systolith_boards.shell import memory
from systolith_boards.shell.memory import MEMORY_READ_LATENCY, MainMemory
from systolith_sim.cocotb_run import run
from systolith_spec.presets import preset

SIZE = 10240


@pytest.mark.parametrize(("width", "bank_words", "ram_width"), [
    (32, 1 << 14, None), (128, 1 << 14, None), (64, 512, None), (32, 512, None), (32, 512, 32), (128, 512, 128), (32, 512, 16),
    (64, 512, 16), (32, 512, 8)])
def test_main_memory(width, bank_words, ram_width, simulator, waves, monkeypatch):
    """Also in several banks, the last of them smaller, and in single-port RAM, whose words may be narrower than the bus."""
    monkeypatch.setattr(memory, "_BANK_WORDS", bank_words)
    config = replace(preset("tiny-4x4"), name=f"bus-{width}", axi_data_width=width)
    memory_ = MainMemory(config=config, size=SIZE, single_port=ram_width is not None, ram_width=ram_width)
    results = run(memory_, top="memory", test_module="main_memory_tb", simulator=simulator, waves=waves,
                  arguments={"size": SIZE, "bytes": width // 8})
    assert results.num_tests == 3
    (record,) = results.records
    parts = width // (ram_width or width)
    assert record["latency"] == MEMORY_READ_LATENCY + parts - 1
    assert record["gaps"] == 31 * (parts - 1)


@pytest.mark.parametrize(("single_port", "width", "rule"), [
    (True, 4, "None or 8 or 16 or 32"), (True, 24, "None or 8 or 16 or 32"), (True, 64, "None or 8 or 16 or 32"),
    (False, 16, "None")])
def test_ram_width_must_divide_the_bus(single_port, width, rule):
    with pytest.raises(ValueError, match=rf"^Memory RAM width must be {rule}, not {width}$"):
        MainMemory(config=preset("tiny-4x4"), size=SIZE, single_port=single_port, ram_width=width)


@pytest.mark.parametrize("size", [0, 6, 2, 4098])
def test_size_must_fit(size):
    with pytest.raises(ValueError, match=rf"^Memory size must be a multiple of 4, not {size}$"):
        MainMemory(config=preset("tiny-4x4"), size=size)
