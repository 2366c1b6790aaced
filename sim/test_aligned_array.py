"""Tests of the systolic array and its skews against numpy."""

import numpy as np
import pytest

import systolith.multiplier
import systolith.primitives.ecp5
import systolith.primitives.gowin
import systolith.primitives.lut
from systolith.aligned_array import AlignedArray
from systolith.multiplier import Multiplier
from systolith.primitives import families
from systolith.primitives.multiplier_pair import MultiplierPair
from systolith.primitives.multiply_add import MultiplyAdd
from systolith.processing_element import ProcessingElement, partial_sum_shape
from systolith.skew import Skew
from systolith.systolic_array import SystolicArray
from systolith_sim.ecp5_models import ecp5_instance
from systolith_sim.gowin_models import gowin_instance
from systolith_sim.pysim import simulate
from systolith_spec.timing import MINIMUM_TILE_CYCLES, MULTIPLIER_LATENCY

GEOMETRIES = [(2, 2), (3, 5), (4, 4), (5, 3), (8, 8), (1, 3), (4, 1)]


def run_tiles(dut, tiles, starts):
    """Send tiles ``(weights, vectors)``; the first vector of tile i in cycle ``starts[i]``. Return all sums."""
    rows = dut.rows
    events = {}
    ends = {}
    loads, load = -(-rows // 2), 0
    for index, (weights, vectors) in enumerate(tiles):
        for number, vector in enumerate(vectors):
            events.setdefault(starts[index] + number, {}).update(vector=vector, swap=number == 0)
            ends[starts[index] + number + dut.latency] = (index, number)
        # As early as allowed: with the first vector of the tile before and behind its pairs.
        if index > 0:
            load = max(load + loads, starts[index - 1])
        assert load + 1 <= starts[index]
        for pair in range(loads):
            events.setdefault(load + pair, {}).update(weights=weights[2 * pair:2 * pair + 2], pair=pair)
    results = {}
    generator = np.random.default_rng(0)

    async def testbench(ctx):
        for cycle in range(max(ends) + 1):
            event = events.get(cycle, {})
            # Whatever is not valid is noise.
            vector = event.get("vector", generator.integers(-128, 128, rows))
            weights = generator.integers(-128, 128, (2, dut.cols))
            if "pair" in event:
                weights[:len(event["weights"])] = event["weights"]
            ctx.set(dut.activations, [int(value) for value in vector])
            ctx.set(dut.swap, int(event.get("swap", 0)))
            ctx.set(dut.weights, weights.tolist())
            ctx.set(dut.load, int("pair" in event))
            ctx.set(dut.load_pair, event.get("pair", int(generator.integers(-(-rows // 2)))))
            if cycle in ends:
                results[ends[cycle]] = [ctx.get(dut.sums[col]) for col in range(dut.cols)]
            await ctx.tick()

    simulate(dut, testbench)
    return results


def check(dut, tiles, starts):
    results = run_tiles(dut, tiles, starts)
    checked = 0
    for index, (weights, vectors) in enumerate(tiles):
        want = vectors.astype(np.int64) @ weights.astype(np.int64)
        for number in range(len(vectors)):
            assert results[index, number] == want[number].tolist(), f"tile {index} vector {number}"
            checked += 1
    assert checked == sum(len(vectors) for _, vectors in tiles) > 0


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
def test_tiles_back_to_back(rows, cols):
    generator = np.random.default_rng(rows * 100 + cols)
    dut = AlignedArray(rows=rows, cols=cols)
    assert dut.latency == rows + cols + MULTIPLIER_LATENCY
    tiles, starts, start = [], [], 1
    loads = -(-rows // 2)
    for index in range(12):
        # The next tile follows after `loads` cycles, if not more vectors come: no bubble when full.
        count = int(generator.integers(1, 2 * rows + 1)) if index % 2 else loads
        extremes = index % 3 == 0
        choices = np.array([-128, 127]) if extremes else np.arange(-128, 128)
        tiles.append((generator.choice(choices, (rows, cols)), generator.choice(choices, (count, rows))))
        starts.append(start)
        start += max(count, loads)
    check(dut, tiles, starts)


VARIANTS = {
    "generic sums": {"dsp_sums": True},
    "ecp5": {"style": "ecp5"},
    "ecp5 sums": {"style": "ecp5", "dsp_sums": True},
    "gowin sums": {"style": "gowin", "dsp_sums": True},
    "nexus sums": {"style": "nexus", "dsp_sums": True},
    "ice40 pairs": {"style": "ice40"},
    "generic, some in LUTs": {"dsp_budget": 7},
    "ecp5, all in LUTs": {"style": "ecp5", "dsp_budget": 0},
    "ecp5 sums, some in LUTs": {"style": "ecp5", "dsp_sums": True, "dsp_budget": 9},
}


@pytest.fixture
def cell_models(monkeypatch):
    """Put models in the place of cells; test_primitives and test_primitive_cells compare the primitives."""
    for module in (systolith.multiplier, systolith.primitives.ecp5, systolith.primitives.lut):
        monkeypatch.setattr(module, "Instance", ecp5_instance, raising=False)
    monkeypatch.setattr(systolith.primitives.gowin, "Instance", gowin_instance)
    monkeypatch.setitem(families.MULTIPLIERS, "nexus", Multiplier)
    monkeypatch.setitem(families.MULTIPLIER_PAIRS, "ice40", MultiplierPair)
    wide = type("Wide", (MultiplyAdd,), {"count": 4, "addend_latency": 3})
    monkeypatch.setitem(families.MULTIPLY_ADDS, "nexus", wide)


@pytest.mark.parametrize(("rows", "cols"), [(9, 2), (5, 3)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_alike(cell_models, variant, rows, cols):
    """Same results and same latency, whatever multiplies and adds; tiles of the fewest cycles back to back."""
    generator = np.random.default_rng(rows)
    dut = AlignedArray(rows=rows, cols=cols, **VARIANTS[variant])
    assert dut.latency == rows + cols + MULTIPLIER_LATENCY
    tiles, starts, start = [], [], 1
    for index in range(8):
        count = MINIMUM_TILE_CYCLES if index % 3 else int(generator.integers(1, 2 * rows))
        choices = np.array([-128, 127]) if index % 2 else np.arange(-128, 128)
        tiles.append((generator.choice(choices, (rows, cols)), generator.choice(choices, (count, rows))))
        starts.append(start)
        start += max(count, -(-rows // 2), MINIMUM_TILE_CYCLES)
    check(dut, tiles, starts)


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
def test_extreme_sums_do_not_overflow(rows, cols):
    dut = AlignedArray(rows=rows, cols=cols)
    low = np.full((rows, cols), -128), np.full((2, rows), -128)
    mixed = np.full((rows, cols), -128), np.full((2, rows), 127)
    check(dut, [low, mixed, low], [rows, 2 * rows + 2, 3 * rows + 4])


@pytest.mark.parametrize(("rows", "cols"), GEOMETRIES)
def test_vector_one_cycle_behind_its_weights(rows, cols):
    generator = np.random.default_rng(rows)
    tiles = [(generator.integers(1, 128, (rows, cols)), generator.integers(1, 128, (1, rows))) for _ in range(2)]
    check(AlignedArray(rows=rows, cols=cols), tiles, [1, 1 + rows])


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize(("rows", "cols", "streams"), [(2, 2, 1), (4, 6, 2), (9, 3, 3), (7, 5, 3), (8, 8, 4)])
def test_column_mode(rows, cols, streams, sums):
    """Tiles of column mode and products in turn, back to back, each against the sum over its streams."""
    taps = rows // streams
    of_row = [min(row // taps, streams - 1) for row in range(rows)]
    tap_of_row = [row - stream * taps for row, stream in enumerate(of_row)]
    dut = AlignedArray(rows=rows, cols=cols, streams=of_row, line_depth=32, dsp_sums=sums)
    generator = np.random.default_rng(rows)
    line = 11
    count = (streams + 1) * line + rows
    weights = [generator.integers(-128, 128, (rows, cols)) for _ in range(5)]
    vectors = generator.integers(-128, 128, (5 * count, rows))
    lanes = np.minimum(np.arange(cols), rows - 1)
    compared = 0

    async def testbench(ctx):
        nonlocal compared
        if streams > 1:
            ctx.set(dut.line_offset, line + taps - 2)
        for cycle in range(5 * count + rows + dut.latency):
            number = cycle - rows  # of the vector; the first tile is loaded before
            load_tile, load_pair = divmod(cycle, count)
            loads = 2 * load_pair < rows and load_tile < 5
            if loads:
                pair = weights[load_tile][2 * load_pair:2 * load_pair + 2].tolist()
                ctx.set(dut.weights, pair + [[0] * cols] * (2 - len(pair)))
            ctx.set(dut.load, loads)
            ctx.set(dut.load_pair, load_pair if loads else 0)
            if 0 <= number < 5 * count:
                ctx.set(dut.activations, vectors[number].tolist())
                ctx.set(dut.swap, number % count == 0)
                ctx.set(dut.column, number // count % 2)
            done = number - dut.latency
            if done >= 0:
                tile, position = divmod(done, count)
                got = [ctx.get(dut.sums[col]) for col in range(cols)]
                if not tile % 2:
                    assert got == (vectors[done].astype(np.int64) @ weights[tile]).tolist()
                    compared += 1
                elif streams * line <= position < count - rows:
                    terms = [vectors[done - stream * line + tap][lanes] * weights[tile][row]
                             for row, (stream, tap) in enumerate(zip(of_row, tap_of_row, strict=True))]
                    assert got == np.sum(terms, axis=0).tolist()
                    compared += 1
            await ctx.tick()

    simulate(dut, testbench, timeout_cycles=20_000)
    assert compared > 3 * count


def test_array_latency_and_shapes():
    dut = SystolicArray(rows=5, cols=3)
    assert (dut.rows, dut.cols) == (5, 3)
    assert dut.latency == 5 - 1 + ProcessingElement.latency
    assert [partial_sum_shape(row).width for row in (-1, 0, 1, 2, 3, 4, 15)] == [16, 16, 17, 18, 18, 19, 20]


def test_skew_and_back():
    values = [[10 * cycle + index for index in range(4)] for cycle in range(8)]
    for reverse in (False, True):
        dut = Skew(shape=8, count=4, reverse=reverse)
        assert dut.latency == 3
        seen = []

        async def testbench(ctx, dut=dut, seen=seen):
            for value in values:
                ctx.set(dut.i, value)
                seen.append([ctx.get(dut.o[index]) for index in range(4)])
                await ctx.tick()

        simulate(dut, testbench)
        for cycle in range(3, 8):
            want = [values[cycle - (3 - index if reverse else index)][index] for index in range(4)]
            assert seen[cycle] == want


def test_messages():
    with pytest.raises(ValueError, match=r"^Array rows must be a positive integer, not 0$"):
        SystolicArray(rows=0, cols=1)
    with pytest.raises(ValueError, match=r"^Array cols must be a positive integer, not 'x'$"):
        AlignedArray(rows=1, cols="x")
    with pytest.raises(ValueError, match=r"^Processing element row must be an integer of at least 0, not -1$"):
        ProcessingElement(row=-1)
