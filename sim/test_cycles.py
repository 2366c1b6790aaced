"""Tests of the cycle-level golden model: cases small enough to count by hand, bounds and monotony."""

import time
from dataclasses import replace

import pytest

from systolith_golden.cycle_work import CycleConstants, Workbook
from systolith_golden.cycles import predict
from systolith_spec.commands import Engine, decode, encode
from systolith_spec.dma_timing import load_cycles, load_retires, store_cycles, store_retires
from systolith_spec.presets import PRESETS, preset
from systolith_spec.timing import compute_cycles, compute_latency
from systolith_spec.vector_timing import (
    params_latency,
    vector_fence_gap,
    vector_latency,
    vector_switch_gap,
    vector_write_latency,
)

BASE = preset("base-16x16")
TINY = preset("tiny-4x4")
PARALLEL = {name: config for name, config in PRESETS.items() if config.control == "parallel"}
K = CycleConstants()
LOAD, COMPUTE, VECTOR, STORE = (1 << engine for engine in Engine)


def conv(size=16, kernel=3, channels=16, **fields):
    """A COMPUTE command on a square slab."""
    pitch = size * channels
    return encode(
        "COMPUTE",
        **{
            "rows": size,
            "row_bytes": pitch,
            "y_count": size,
            "y_row_step": 1,
            "y_addr_step": pitch,
            "x_count": size,
            "ky_count": kernel,
            "kx_count": kernel,
            "x_byte_step": channels,
            "ky_row_step": 1,
            "ky_addr_step": pitch,
            "kx_byte_step": channels,
            "chunk_count": 1,
            "block_count": 1,
            **fields,
        },
    )


def vector(size=16, channels=16, **fields):
    """A VECTOR command that reads accumulators, or with source=1 a slab."""
    pitch = size * channels
    return encode(
        "VECTOR",
        **{
            "rows": size,
            "row_bytes": pitch,
            "y_count": size,
            "y_row_step": 1,
            "y_addr_step": pitch,
            "x_count": size,
            "ky_count": 1,
            "kx_count": 1,
            "x_byte_step": channels,
            "channels": channels,
            **fields,
        },
    )


def transfer(name, length, **fields):
    return encode(name, **{"length": length, "count_1": 1, "count_2": 1, **fields})


def accepted(config, latency):
    """Cycle in which an engine accepts the first command of a program."""
    beats = 64 // config.axi_bytes
    return K.fetch_start + latency + beats - 1 + K.fetch_latency + K.queue_latency + K.grant


@pytest.mark.parametrize("config", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("latency", [0, 20, 100])
def test_single_compute(config, latency):
    size = 5
    prediction = predict(config, [conv(size)], latency)
    expected = accepted(config, latency) + compute_latency(config, size * size, 9)
    assert prediction.per_layer == {0: expected}
    assert prediction.total == expected + K.end
    assert prediction.busy["COMPUTE"] == compute_latency(config, size * size, 9)
    assert prediction.commands == 1


def test_single_commands_take_the_time_of_their_formulas():
    start = accepted(BASE, 20)

    def fields(command):
        return decode(command)[1]

    for command in (
        vector(),
        vector(source=1),
        vector(source=1, operand_scale=1, kx_count=2, kx_byte_step=8192),
    ):
        assert predict(BASE, [command]).per_layer[0] == start + vector_latency(BASE, fields(command))
    for immediate in (0, 1):
        command = encode("PARAMS", bias_immediate=immediate, scale_immediate=immediate, channels=16)
        assert predict(BASE, [command]).per_layer[0] == start + params_latency(BASE, fields(command))
    # 1024 bytes are 64 beats, one burst; the fetcher's two bursts were requested before.
    command = transfer("LOAD", 1024)
    expected = start + K.load_request - 1 + load_cycles(BASE, fields(command), memory_latency=20)
    assert predict(BASE, [command]).per_layer[0] == expected
    command = transfer("STORE", 1024)
    prediction = predict(BASE, [command])
    assert prediction.per_layer[0] == start + store_cycles(BASE, fields(command), memory_latency=20)
    assert prediction.bytes_written == 1024


def test_first_beats_by_hand():
    # The strobe comes in cycle 0, the fetcher's address in 5, its first beat in 25 and the fourth, which
    # completes the command, in 28; 32 queue, 36 token gate, 37 accepted, 51 first beat, 71 response,
    # 72 retired, 76 end.
    prediction = predict(BASE, [transfer("STORE", 16)])
    assert prediction.per_layer == {0: 72}
    assert prediction.total == 76


@pytest.mark.parametrize(
    ("memory", "length", "beats"), [(0, 16, 1), (15, 2, 2), (0, 1025, 65), (4000, 200, 13)]
)
def test_bytes_are_whole_beats(memory, length, beats):
    commands = [transfer("LOAD", length, memory=memory), transfer("STORE", length, memory=memory)]
    prediction = predict(BASE, commands)
    assert prediction.bytes_written == 16 * beats
    assert prediction.bytes_read == 16 * beats + K.prefetch_bytes


def test_bursts_end_at_multiples_of_the_longest():
    command = encode("LOAD", memory=4096 - 48, length=1200, count_1=2, memory_step_1=8192, count_2=1)
    assert Workbook(BASE, K).work(command).bursts == (3, 64, 8) * 2


def test_back_to_back_computes_have_no_gap():
    one, many = (predict(BASE, [conv()] * count).total for count in (1, 11))
    assert many - one == 10 * compute_cycles(BASE, 256, 9)


def test_short_commands_are_limited_by_the_queue():
    # A command of 16 cycles takes 16 beats of 4 bytes and some more to assemble.
    one, many = (predict(TINY, [conv(1, 1)] * count).per_layer[0] for count in (1, 11))
    assert many - one == 10 * (16 + K.queue_latency)


def test_tokens_order_a_chain():
    chain = [
        conv(signal=VECTOR),
        vector(wait=COMPUTE, signal=STORE, layer=1),
        transfer("STORE", 4096, wait=VECTOR, layer=2),
    ]
    prediction = predict(BASE, chain)
    compute, vec, store = (prediction.per_layer[layer] for layer in range(3))
    handover = K.token + K.grant
    assert vec == compute + handover + vector_latency(BASE, decode(chain[1])[1])
    assert store == vec + handover + store_cycles(BASE, decode(chain[2])[1], memory_latency=20)
    assert prediction.stall_token["VECTOR"] > 2000


def test_vector_overlaps_compute_with_double_buffering():
    commands, count = [], 40
    for number in range(count):
        commands.append(conv(wait=VECTOR if number > 1 else 0, signal=VECTOR, accumulator=number % 2 * 512))
        commands.append(
            vector(wait=COMPUTE, signal=COMPUTE if number < count - 2 else 0, base=number % 2 * 512)
        )
    total = predict(BASE, commands).total
    assert count * 9 * 256 < total < count * 9 * 256 + 500


def test_fence_and_change_of_source_cost_their_gaps():
    plain = predict(BASE, [vector(), vector()]).total
    fenced = predict(BASE, [vector(), vector(fence=1)]).total
    assert fenced == plain + vector_fence_gap(BASE, 0) - 1
    other = predict(BASE, [vector(), vector(source=1)]).total
    longer = vector_write_latency(BASE, 1) - vector_write_latency(BASE, 0)
    assert other == plain + vector_switch_gap(BASE, 0) - 1 + longer


def test_params_run_beside_vectors_of_the_other_bank():
    def params(bank):
        return encode("PARAMS", bias_base=0, scale_base=256, channels=128, bank=bank)

    alone = predict(BASE, [vector()]).total
    assert predict(BASE, [vector(), params(1)]).total < alone + 20
    # In the same bank it waits for the last write, 256 cycles follow.
    assert predict(BASE, [vector(), params(0)]).total == alone + 256 + 4


def test_vector_waits_for_accumulations_in_the_same_half():
    stalled, free = (predict(BASE, [conv(), *[vector(base=base)] * 4]) for base in (0, 512))
    assert free.stall_input["VECTOR"] == 0
    # The first of nine tiles overwrites and does not read.
    assert stalled.stall_input["VECTOR"] == 8 * 256


@pytest.mark.parametrize(("base", "stall"), [(0, 256), (65536, 0)])
def test_compute_loses_the_bank_to_the_vector_engine(base, stall):
    # The vector engine reads 256 words of bank 0 or 1 while COMPUTE reads bank 0 in every cycle.
    commands = [vector(source=1, base=base, destination=65536), conv()]
    prediction = predict(BASE, commands)
    assert prediction.stall_input["COMPUTE"] == pytest.approx(stall, abs=25)
    assert prediction.stall_input["VECTOR"] == 0


def test_compute_starves_while_the_vector_engine_reads_its_bank_in_every_cycle():
    # Even one vector per 16 cycles cannot get through.
    commands = [vector(source=1), conv(1, 3, block_count=9)]
    assert predict(BASE, commands).stall_input["COMPUTE"] > 200
    # A walk over both halves of the buffer is in the way half of the time: one vector in 16 does not notice.
    commands[0] = vector(source=1, base=65536 - 2048)
    assert predict(BASE, commands).stall_input["COMPUTE"] == 0


def test_load_rate_is_limited_by_outstanding_bursts():
    narrow = replace(BASE, burst_beats=4, outstanding_reads=2)
    fast, slow = (predict(config, [transfer("LOAD", 16384)], 100).total for config in (BASE, narrow))
    assert fast < 1024 + 300
    assert slow > 1024 / 8 * 100


@pytest.mark.parametrize("config", PARALLEL.values(), ids=PARALLEL)
@pytest.mark.parametrize("name", ["LOAD", "STORE"])
def test_many_transfers_take_the_time_of_their_formula(config, name):
    commands = [transfer(name, 20, memory=4096 + 100 * number) for number in range(40)]
    fields = [decode(command)[1] for command in commands]
    retires = {"LOAD": load_retires, "STORE": store_retires}[name](config, fields, memory_latency=100)
    # The queue hands over less than one command in three cycles; the formula has them all at once.
    assert predict(config, commands, 100).total >= retires[-1] + accepted(config, 100)
    assert predict(config, commands, 100).total <= retires[-1] + accepted(config, 100) + 40 * (
        64 // config.axi_bytes + 4
    )


def test_full_queue_blocks_the_commands_behind():
    # The LOAD waits behind more VECTOR commands than the queue holds.
    blocked = [vector()] * (TINY.queue_commands + 20) + [transfer("LOAD", 4, layer=1)]
    free = [vector()] * (TINY.queue_commands - 2) + [transfer("LOAD", 4, layer=1)]
    assert predict(TINY, blocked).per_layer[1] > 4 * predict(TINY, free).per_layer[1]


def network():
    """Some layers with all engines at work."""
    commands = [transfer("LOAD", 4096, signal=COMPUTE)]
    for number in range(30):
        commands.append(
            transfer(
                "LOAD",
                2304,
                space=1,
                layer=number,
                signal=COMPUTE,
                wait=COMPUTE if number > 1 else 0,
                memory=8192,
            )
        )
        commands.append(conv(8, wait=LOAD, signal=VECTOR | (LOAD if number < 28 else 0), layer=number))
        commands.append(encode("PARAMS", bias_immediate=1, scale_immediate=1, channels=1, layer=number))
        commands.append(vector(8, wait=COMPUTE, signal=STORE, layer=number))
        commands.append(transfer("STORE", 512, wait=VECTOR, layer=number))
    commands[2] = conv(8, wait=LOAD, signal=VECTOR | LOAD)
    return commands


def test_a_longer_memory_latency_is_never_faster():
    totals = [predict(BASE, network(), latency).total for latency in range(0, 200, 10)]
    assert totals == sorted(totals)
    assert totals[-1] > totals[0]


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_bounds(config):
    prediction = predict(config, network())
    tiles = 30 * 9
    assert prediction.total >= tiles * max(64, config.rows)
    assert prediction.total >= prediction.bytes_read / config.axi_bytes
    assert all(0 < busy <= prediction.total for busy in prediction.busy.values())
    assert list(prediction.per_layer) == list(range(30))
    assert sorted(prediction.per_layer.values()) == list(prediction.per_layer.values())


def test_deadlocks_and_bad_commands_are_reported():
    with pytest.raises(ValueError, match="The program never ends: VECTOR waits forever"):
        predict(BASE, [vector(wait=COMPUTE)])
    with pytest.raises(ValueError, match="A command must be 64 bytes, not 3"):
        predict(BASE, [b"abc"])
    with pytest.raises(ValueError, match="Opcode must be one of .*, not 9"):
        predict(BASE, [bytes([9]) + bytes(63)])
    with pytest.raises(ValueError, match="Memory latency must be at least 0, not -1"):
        predict(BASE, [], -1)


def test_thousands_of_commands_per_second():
    commands = [conv(8) if number % 2 else vector(8) for number in range(4000)]
    start = time.perf_counter()
    predict(BASE, commands)
    assert time.perf_counter() - start < 2
