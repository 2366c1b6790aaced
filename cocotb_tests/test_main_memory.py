"""The main memory of boards, against the bus model of cocotbext-axi."""

from dataclasses import replace

import pytest

from systolith_boards.shell import memory
from systolith_boards.shell.memory import MEMORY_READ_LATENCY, MainMemory
from systolith_sim.cocotb_run import run
from systolith_spec.presets import preset

SIZE = 10240


@pytest.mark.parametrize(("width", "bank_words", "single_port"), [
    (32, 1 << 14, False), (128, 1 << 14, False), (64, 512, False), (32, 512, False), (32, 512, True), (128, 512, True)])
def test_main_memory(width, bank_words, single_port, simulator, waves, monkeypatch):
    """Also in several banks, the last of them smaller."""
    monkeypatch.setattr(memory, "_BANK_WORDS", bank_words)
    config = replace(preset("tiny-4x4"), name=f"bus-{width}", axi_data_width=width)
    results = run(MainMemory(config=config, size=SIZE, single_port=single_port), top="memory", test_module="main_memory_tb",
                  simulator=simulator, waves=waves, arguments={"size": SIZE, "bytes": width // 8})
    assert results.num_tests == 3
    (record,) = results.records
    assert record["latency"] == MEMORY_READ_LATENCY
    assert record["gaps"] == 0


@pytest.mark.parametrize("size", [0, 6, 2, 4098])
def test_size_must_fit(size):
    with pytest.raises(ValueError, match=rf"^Memory size must be a multiple of 4, not {size}$"):
        MainMemory(config=preset("tiny-4x4"), size=size)
