"""Whole programs on the generated Verilog, against the machine-level golden model."""

import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest

from systolith.accelerator import Accelerator
from systolith_golden.machine import Machine
from systolith_sim.cocotb_run import run
from systolith_spec.commands import Engine, encode
from systolith_spec.presets import preset
from systolith_spec.registers import ErrorCode

LOAD, COMPUTE, VECTOR, STORE = (1 << engine for engine in Engine)
TINY = preset("tiny-4x4")
SERIAL = preset("serial-4x4")
CONFIGS = [TINY, SERIAL, replace(TINY, name="odd-3x5", rows=3, cols=5, vector_lanes=5, axi_data_width=64)]
BASE = 0x1000
DATA = 0x2000
RESULT = 0x6000
MEMORY = 0x8000


def pack(data):
    return base64.b64encode(zlib.compress(bytes(data))).decode()


def up(value, multiple):
    return -(-value // multiple) * multiple


def run_program(config, commands, memory, *, simulator, waves=None, stall=0.0, runs=1, limit=MEMORY, writable=RESULT,
                watchdog=20000,
                filter="golden", **arguments):
    """Run commands from offset 0 on; returns the records of the coroutine."""
    program = b"".join(commands)
    memory[:len(program)] = np.frombuffer(program, np.uint8)
    wanted = memory.copy()
    machine = Machine(config, wanted, writable=writable, check_hazards=True)
    for _ in range(runs):
        machine.run(0)
    results = run(Accelerator(config=config), top="systolith", test_module="accelerator_tb", simulator=simulator,
                  waves=waves, test_filter=filter, optimise="0", arguments={
                      "memory": pack(memory), "wanted": pack(wanted), "program": 0, "base": BASE, "limit": limit,
                      "writable": writable, "watchdog": watchdog, "stall": stall, "runs": runs, **arguments})
    return results.records


def matrix_product(config, *, vectors=6, inputs=None, outputs=None, seed=0):
    """Program of one fully connected layer; returns (commands, memory, expected result)."""
    inputs = inputs or 2 * config.rows
    outputs = outputs or config.cols
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (vectors, inputs), np.int8)
    w = rng.integers(-128, 128, (inputs, outputs), np.int8)
    bias = rng.integers(-(1 << 16), 1 << 16, outputs, np.int32)
    scale = np.stack([rng.integers(1 << 30, 1 << 31, outputs, np.int64), rng.integers(-9, -5, outputs)], 1)
    memory = np.zeros(MEMORY, np.uint8)
    beat = config.axi_bytes
    where = DATA
    transfers = []
    for data, space, buffer in ((x, 0, 3), (w, 1, 0), (bias, 2, 0),
                                ((scale & 0xFFFFFFFF).astype(np.uint32), 2, up(4 * outputs, 16))):
        raw = np.frombuffer(data.tobytes(), np.uint8)
        memory[where:where + raw.size] = raw
        length = raw.size if space == 0 else up(raw.size, beat)
        transfers.append({"memory": where, "length": length, "space": space, "buffer": buffer, "count_1": 1,
                          "count_2": 1})
        where = up(where + raw.size, 16)
    signal = [0, COMPUTE, 0, VECTOR]
    commands = [encode("LOAD", signal=s, layer=7, **t) for s, t in zip(signal, transfers, strict=True)]
    destination = config.activation_bytes // 2 + 5
    commands += [
        encode("PARAMS", wait=LOAD, layer=7, bias_base=0, scale_base=up(4 * outputs, 16) // 4, channels=outputs),
        encode("COMPUTE", wait=LOAD, signal=VECTOR, layer=8, base=3, rows=1, row_bytes=vectors * inputs,
               y_count=1, y_row_step=1, x_count=vectors, ky_count=1, kx_count=1, x_byte_step=inputs,
               ky_row_step=1, chunk_count=inputs // config.rows, weights=0, block_count=outputs // config.cols,
               block_step=vectors),
        encode("VECTOR", wait=COMPUTE, signal=STORE, layer=9, y_count=1, x_count=vectors, ky_count=1, kx_count=1,
               minimum=-128, maximum=127, zero_out=-3, channels=outputs, destination=destination,
               destination_y=0, destination_x=outputs, block_step=vectors),
        encode("STORE", wait=VECTOR, layer=10, memory=RESULT + 1, buffer=destination, length=vectors * outputs,
               count_1=1, count_2=1),
        encode("END"),
    ]
    return commands, memory


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_matrix_product(config, stall, simulator, waves):
    commands, memory = matrix_product(config)
    records = run_program(config, commands, memory, simulator=simulator, waves=waves, stall=stall, runs=2)
    assert len(records) == 2
    for values in records:
        assert values["COMMANDS"] == 8
        assert sorted(map(tuple, values["retired"])) == [(0, 7)] * 4 + [(1, 8), (2, 7), (2, 9), (3, 10)]
        assert values["BYTES_WRITTEN"] > 0
        assert values["CYCLES"] > values["COMPUTE_BUSY"] > 0 or not config.engine_counters


@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.name)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_aborts(config, stall, simulator, waves):
    commands, memory = matrix_product(config, vectors=20, inputs=16, outputs=8)
    delays = [0, 5, 20, 40, 60, 90, 130, 180, 240, 310, 390, 480, 600, 800]
    records = run_program(config, commands, memory, simulator=simulator, waves=waves, stall=stall, delays=delays,
                          filter="aborted_runs")
    assert records[0]["aborted"] >= 7


@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.name)
def test_errors(config, simulator, waves):
    commands, memory = matrix_product(config)
    load = {"length": 64, "count_1": 1, "count_2": 1}
    programs = {
        0x1000: [encode("STORE", signal=VECTOR, memory=RESULT, **load), encode("VECTOR", wait=LOAD), encode("END")],
        0x1200: [encode("LOAD", memory=MEMORY - 32, **load), encode("END")],
        0x1400: [encode("LOAD", memory=DATA, **load), bytes([9]) + bytes(63), encode("END")],
        MEMORY - 64: [encode("LOAD", memory=DATA, **load)],
        RESULT - 64: [encode("LOAD", memory=DATA, **load)],
        0x1600: [encode("STORE", memory=RESULT, **load), encode("STORE", memory=MEMORY, **load), encode("END")],
        0x1800: [encode("STORE", memory=RESULT, **load), encode("STORE", memory=RESULT - 1, **load), encode("END")],
        0x1A00: [encode("STORE", memory=0x1A40, **load), encode("END")],
    }
    for offset, program in programs.items():
        data = b"".join(program)
        memory[offset:offset + len(data)] = np.frombuffer(data, np.uint8)

    def case(program, code, engine, address, **registers):
        return {"program": program, "code": int(code), "engine": engine, "address": address, "registers": registers}

    cases = [
        case(0x1000, ErrorCode.WATCHDOG, 15, 0, WATCHDOG=500),
        case(0x1200, ErrorCode.OUT_OF_RANGE, int(Engine.LOAD), BASE + MEMORY - 32),
        case(0x1400, ErrorCode.BAD_COMMAND, 15, BASE + 0x1440),
        case(0x1600, ErrorCode.OUT_OF_RANGE, int(Engine.STORE), BASE + MEMORY),
        case(0x1800, ErrorCode.OUT_OF_RANGE, int(Engine.STORE), BASE + RESULT - 1),
        case(0x1A00, ErrorCode.OUT_OF_RANGE, int(Engine.STORE), BASE + 0x1A40),
        case(RESULT - 64, ErrorCode.OUT_OF_RANGE, 15, BASE + RESULT),
        case(MEMORY - 64, ErrorCode.OUT_OF_RANGE, 15, BASE + MEMORY - 64),
        case(MEMORY - 64, ErrorCode.OUT_OF_RANGE, 15, BASE + MEMORY, WRITABLE=0),
    ]
    records = run_program(config, commands, memory, simulator=simulator, waves=waves, cases=cases,
                          filter="errors_are_reported")
    assert records == [{"cases": 9}]
