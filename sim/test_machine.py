"""Tests of the machine-level golden model: hand-written programs against direct numpy."""

import time
from dataclasses import replace

import numpy as np
import pytest

from systolith_golden.arithmetic import add_parameters, divide_truncating, quantize_multiplier, requantize
from systolith_golden.machine import UNWRITTEN, HazardError, Machine, MachineError, program_commands
from systolith_golden.token_counters import TOKEN_MAXIMUM, TokenCounters
from systolith_golden.windows import windows
from systolith_spec.commands import Engine, encode
from systolith_spec.config import AcceleratorConfig
from systolith_spec.presets import PRESETS, preset

ODD = AcceleratorConfig(
    name="odd-3x5",
    rows=3,
    cols=5,
    activation_bytes=4096,
    weight_bytes=4096,
    parameter_bytes=1024,
    accumulator_depth=128,
    vector_lanes=5,
    parameter_groups=4,
    axi_data_width=32,
)
SINGLE_LANE = AcceleratorConfig(
    name="one-lane",
    rows=5,
    cols=2,
    activation_bytes=4096,
    activation_banks=1,
    weight_bytes=4096,
    parameter_bytes=1024,
    accumulator_depth=64,
    vector_lanes=1,
    parameter_groups=16,
    axi_data_width=64,
)
CONFIGS = [ODD, SINGLE_LANE, preset("tiny-4x4"), preset("small-8x8"), preset("base-16x16")]
LOAD, COMPUTE, VECTOR, STORE = (1 << engine for engine in Engine)
IDENTITY = {"bias_immediate": 1, "scale_immediate": 1, "multiplier": 1 << 30, "exponent": 1}
"""Immediate parameters that leave sums as they are."""


class Program:
    """Main memory with data and a command stream."""

    def __init__(self, config=ODD, size=1 << 16, **options):
        self.config = config
        self.memory = np.zeros(size, np.uint8)
        self.commands = []
        self.top = 16384
        self.options = options

    def place(self, data) -> int:
        """Put data into memory at the next multiple of 16; return its offset."""
        data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        offset = self.top
        self.memory[offset : offset + len(data)] = data
        self.top = -(-(offset + len(data)) // 16) * 16
        return offset

    def add(self, name, **fields):
        self.commands.append(encode(name, **fields))
        return self

    def load(self, data, buffer=0, space=0, **fields):
        """Load data in one run; weights and parameters are rounded up to whole beats."""
        length = np.asarray(data).nbytes
        if space:
            length = -(-length // 16) * 16
        fields = {"length": length, "count_1": 1, "count_2": 1, **fields}
        return self.add("LOAD", memory=self.place(data), buffer=buffer, space=space, **fields)

    def params(self, **fields):
        return self.add("PARAMS", **{**IDENTITY, "channels": 1, **fields})

    def run(self, *, end=True, **options):
        if end:
            self.add("END")
        stream = b"".join(self.commands)
        self.memory[: len(stream)] = np.frombuffer(stream, np.uint8)
        self.machine = Machine(self.config, self.memory, **{**self.options, **options})
        return self.machine.run(0)


def slab(height, width, channels, **fields):
    """Window fields that visit each pixel of a dense NHWC slab at address 0 once."""
    return {
        "rows": height,
        "row_bytes": width * channels,
        "y_count": height,
        "y_row_step": 1,
        "y_addr_step": width * channels,
        "x_count": width,
        "ky_count": 1,
        "kx_count": 1,
        "x_byte_step": channels,
        **fields,
    }


def output(destination, height, width, channels, **fields):
    """Fields of a dense NHWC result."""
    return {
        "channels": channels,
        "destination": destination,
        "destination_y": width * channels,
        "destination_x": channels,
        "minimum": -128,
        "maximum": 127,
        **fields,
    }


def result(program, address, *shape):
    """int8 contents of the activation buffer."""
    return program.machine.activation[address : address + int(np.prod(shape))].view(np.int8).reshape(shape)


def random_int8(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def pack_weights(config, weights):
    """Weight tiles, in the order block, ky, kx, chunk, of weights with shape (ky, kx, input, output)."""
    ky, kx, inputs, outputs = weights.shape
    chunks, blocks = -(-inputs // config.rows), -(-outputs // config.cols)
    padded = np.zeros((ky, kx, chunks * config.rows, blocks * config.cols), np.int8)
    padded[:, :, :inputs, :outputs] = weights
    tiles = padded.reshape(ky, kx, chunks, config.rows, blocks, config.cols)
    return np.ascontiguousarray(tiles.transpose(4, 0, 1, 2, 3, 5)), chunks, blocks


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize(
    ("stride", "dilation", "before", "rounding"), [(1, 1, 1, 0), (2, 1, 0, 1), (1, 2, 2, 0), (2, 1, 1, 2)]
)
def test_convolution_equals_direct_numpy(config, stride, dilation, before, rounding):
    rng = np.random.default_rng(stride + 10 * dilation + 100 * before)
    height, width, inputs, outputs, pad = 5, 6, 7, 2 * config.cols - 1, -3
    image, kernel = random_int8(rng, 1, height, width, inputs), random_int8(rng, 3, 3, inputs, outputs)
    bias = rng.integers(-5000, 5000, outputs).astype(np.int32)
    scales = np.stack([rng.integers(1 << 30, 1 << 31, outputs), rng.integers(-9, -5, outputs)], 1).astype(
        np.int32
    )
    sizes = tuple((size + 2 * before - 2 * dilation - 1) // stride + 1 for size in (height, width))
    pixels = sizes[0] * sizes[1]
    tiles, chunks, blocks = pack_weights(config, kernel)

    program = Program(config, check_hazards=True, check_undefined=True)
    program.load(image, 64).load(tiles, 0, 1)
    even = outputs + outputs % 2  # scales start at an even word
    block = np.zeros(even + 2 * outputs, np.int32)
    block[:outputs], block[even:] = bias, scales.reshape(-1)
    program.load(block, 0, 2, signal=COMPUTE | VECTOR)
    pitch = width * inputs
    program.add(
        "COMPUTE",
        wait=LOAD,
        signal=VECTOR,
        base=(64 - before * pitch) % (1 << 24),
        pad=pad,
        first_row=-before,
        rows=height,
        first_byte=-before * inputs,
        row_bytes=pitch,
        y_count=sizes[0],
        y_row_step=stride,
        y_addr_step=stride * pitch,
        x_count=sizes[1],
        x_byte_step=stride * inputs,
        ky_count=3,
        kx_count=3,
        ky_row_step=dilation,
        ky_addr_step=dilation * pitch,
        kx_byte_step=dilation * inputs,
        chunk_count=chunks,
        block_count=blocks,
        block_step=pixels,
    )
    program.params(wait=LOAD, bias_immediate=0, scale_immediate=0, scale_base=even, channels=outputs, bank=1)
    program.add(
        "VECTOR",
        wait=COMPUTE,
        **output(1024, *sizes, outputs),
        y_count=sizes[0],
        x_count=sizes[1],
        bank=1,
        block_step=pixels,
        zero_out=4,
        rounding=rounding,
    )
    statistics = program.run()

    view = windows(
        image,
        kernel=(3, 3),
        strides=(stride,) * 2,
        dilations=(dilation,) * 2,
        before=(before,) * 2,
        sizes=sizes,
        fill=pad,
    )
    sums = np.einsum("nyxabc,abco->nyxo", view.astype(np.int64), kernel.astype(np.int64)) + bias
    if rounding == 2:
        product = sums * scales[:, 0].astype(np.int64)
        scaled = divide_truncating(product, np.int64(1) << (31 - scales[:, 1].astype(np.int64)))
    else:
        scaled = requantize(sums, scales[:, 0], scales[:, 1], ("double", "single")[rounding])
    expected = np.clip(scaled + 4, -128, 127)
    np.testing.assert_array_equal(result(program, 1024, *expected.shape), expected)
    assert statistics.macs == pixels * blocks * 9 * chunks * config.rows * config.cols
    assert statistics.commands == {"LOAD": 3, "COMPUTE": 1, "VECTOR": 2, "STORE": 0}


def test_first_layer_reads_a_kernel_row_as_one_run():
    # Three pixels of three channels are nine adjacent bytes: three chunks of three rows, kx_count 1.
    rng = np.random.default_rng(1)
    image, kernel = random_int8(rng, 1, 4, 5, 3), random_int8(rng, 3, 3, 3, 5)
    tiles, chunks, blocks = pack_weights(ODD, kernel.reshape(3, 1, 9, 5))
    assert (chunks, blocks) == (3, 1)
    program = Program(ODD, check_undefined=True).load(image).load(tiles, 0, 1).params()
    program.add(
        "COMPUTE",
        **slab(
            4,
            5,
            3,
            base=-15 % (1 << 24),
            first_row=-1,
            first_byte=-3,
            pad=9,
            ky_count=3,
            ky_row_step=1,
            ky_addr_step=15,
        ),
        chunk_count=3,
        block_count=1,
    )
    program.run()
    view = windows(
        image, kernel=(3, 3), strides=(1, 1), dilations=(1, 1), before=(1, 1), sizes=(4, 5), fill=9
    )
    expected = np.einsum("nyxabc,abco->nyxo", view.astype(np.int64), kernel.astype(np.int64))
    np.testing.assert_array_equal(program.machine.accumulators[:20], expected.reshape(20, 5))


def test_accumulate_adds_to_entries_and_wraps():
    program = Program(ODD).load(np.full(3, -128, np.int8)).load(np.full(15, -128, np.int8), 0, 1)
    fields = {**slab(1, 1, 3), "chunk_count": 1, "block_count": 1, "accumulator": 200}
    program.add("COMPUTE", **fields).add("COMPUTE", **fields, accumulate=1).run()
    assert (program.machine.accumulators[200] == 2 * 3 * 16384).all()
    program.commands = [encode("COMPUTE", **fields, accumulate=1), encode("END")]
    program.machine.accumulators[200] = 2**31 - 1
    stream = b"".join(program.commands)
    program.memory[: len(stream)] = np.frombuffer(stream, np.uint8)
    program.machine.run(0)
    assert (program.machine.accumulators[200] == 3 * 16384 - 1 - 2**31).all()


def test_blocks_may_overwrite_each_other_in_order():
    rng = np.random.default_rng(2)
    image, kernel = random_int8(rng, 2, 3, 3), random_int8(rng, 1, 1, 3, 10)
    tiles, _, _ = pack_weights(ODD, kernel)
    program = Program(ODD).load(image).load(tiles, 0, 1)
    program.add("COMPUTE", **slab(2, 3, 3), chunk_count=1, block_count=2, block_step=0).run()
    expected = image.reshape(6, 3).astype(int) @ kernel[0, 0, :, 5:].astype(int)
    np.testing.assert_array_equal(program.machine.accumulators[:6], expected)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_long_reductions_are_exact(config):
    # 4000 inputs of -128 * -128: beyond float32.
    inputs = min(4000, config.weight_bytes // config.cols // config.rows * config.rows)
    program = Program(config, size=1 << 18).load(np.full(inputs, -128, np.int8))
    tiles, chunks, _ = pack_weights(config, np.full((1, 1, inputs, config.cols), -128, np.int8))
    program.load(tiles, 0, 1).add("COMPUTE", **slab(1, 1, inputs), chunk_count=chunks, block_count=1).run()
    assert (program.machine.accumulators[0] == inputs * 16384).all()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_pooling(config):
    rng = np.random.default_rng(3)
    image = random_int8(rng, 1, 5, 7, 6)
    program = Program(config, check_hazards=True, check_undefined=True).load(image, 0, signal=VECTOR)
    walk = {
        "source": 1,
        "ky_count": 2,
        "kx_count": 3,
        "ky_row_step": 1,
        "ky_addr_step": 42,
        "kx_byte_step": 6,
    }
    # Maximum over 2x3, stride 2, padding right and below.
    program.params(wait=LOAD).add(
        "VECTOR",
        **{
            **slab(5, 7, 6),
            **walk,
            "y_count": 3,
            "x_count": 4,
            "y_row_step": 2,
            "y_addr_step": 84,
            "x_byte_step": 12,
            "pad": -128,
        },
        **output(512, 3, 4, 6),
        maximum_reduce=1,
    )
    # Average over 2x3 without padding: (sum +- 3) / 6 toward zero.
    multiplier, exponent = -(-(1 << 32) // 6), -2
    program.params(bank=1, bias=3, multiplier=multiplier, exponent=exponent + 1, channels=3)
    program.add(
        "VECTOR",
        **{**slab(5, 7, 6), **walk, "y_count": 4, "x_count": 5},
        **output(768, 4, 5, 6),
        bank=1,
        rounding=2,
        bias_follows_sign=1,
    )
    program.run()
    geometry = {"kernel": (2, 3), "dilations": (1, 1), "before": (0, 0)}
    view = windows(image, strides=(2, 2), sizes=(3, 4), fill=-128, **geometry)
    np.testing.assert_array_equal(result(program, 512, 1, 3, 4, 6), view.max(axis=(3, 4)))
    sums = windows(image.astype(int), strides=(1, 1), sizes=(4, 5), fill=0, **geometry).sum(axis=(3, 4))
    expected = divide_truncating(sums + np.where(sums > 0, 3, -3), 6)
    np.testing.assert_array_equal(result(program, 768, 1, 4, 5, 6), expected)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_addition_is_tflites(config):
    rng = np.random.default_rng(4)
    a, b = random_int8(rng, 3, 4, 5), random_int8(rng, 3, 4, 5)
    p = add_parameters(0.05, 0.031, 0.07)
    program = (
        Program(config, check_hazards=True, check_undefined=True).load(a, 16).load(b, 128, signal=VECTOR)
    )
    program.params(
        wait=LOAD,
        multiplier=p.multiplier_out,
        exponent=p.exponent_out,
        multiplier_a=p.multiplier_1,
        exponent_a=p.exponent_1,
        multiplier_b=p.multiplier_2,
        exponent_b=p.exponent_2,
    )
    program.add(
        "VECTOR",
        **slab(3, 4, 5, base=16, kx_count=2, kx_byte_step=112, row_bytes=200),
        source=1,
        operand_scale=1,
        **output(16, 3, 4, 5),
        zero_a=-7,
        zero_b=11,
        zero_out=5,
    ).run()  # in place of operand A
    first = requantize((a.astype(int) + 7) << 20, p.multiplier_1, p.exponent_1)
    second = requantize((b.astype(int) - 11) << 20, p.multiplier_2, p.exponent_2)
    expected = np.clip(requantize(first + second, p.multiplier_out, p.exponent_out) + 5, -128, 127)
    np.testing.assert_array_equal(result(program, 16, 3, 4, 5), expected)


def test_padding_and_quantize():
    # PAD by one pixel with the zero point -5 and, in the same command, QUANTIZE by 0.6 to zero point 3.
    rng = np.random.default_rng(5)
    image = random_int8(rng, 3, 4, 2)
    multiplier, exponent = quantize_multiplier(0.6)
    program = Program(ODD, check_undefined=True).load(image)
    program.params(multiplier=multiplier, exponent=exponent)
    program.add(
        "VECTOR",
        **{
            **slab(3, 4, 2),
            "first_row": -1,
            "first_byte": -2,
            "base": -8 % (1 << 24),
            "pad": -5,
            "y_count": 5,
            "x_count": 6,
        },
        source=1,
        zero_a=-5,
        zero_out=3,
        **output(256, 5, 6, 2),
    ).run()
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=-5).astype(int)
    expected = np.clip(requantize(padded + 5, multiplier, exponent) + 3, -128, 127)
    np.testing.assert_array_equal(result(program, 256, 5, 6, 2), expected)


def test_vector_reads_accumulator_blocks_and_writes_only_its_channels():
    program = Program(ODD).params(bias=1)
    program.add(
        "VECTOR",
        **output(100, 1, 2, 7, zero_out=-2, minimum=-20, maximum=21),
        base=3,
        x_count=2,
        y_count=1,
        block_step=50,
    )
    program.run()
    machine = program.machine
    machine.accumulators[:] = np.arange(256)[:, None] % 100 + np.arange(5) - 60
    machine.run(0)
    entries = machine.accumulators
    expected = [np.concatenate([entries[3 + x], entries[53 + x, :2]]) + 1 - 2 for x in range(2)]
    np.testing.assert_array_equal(result(program, 100, 2, 7), np.clip(expected, -20, 21))
    assert machine.activation[114] == UNWRITTEN == machine.activation[99]


def test_lane_tables_repeat():
    # 25 channels with a table of 20: channel 20 uses entry 0.
    program = Program(ODD)
    bias = np.arange(20, dtype=np.int32)
    program.load(np.zeros(25, np.int8)).load(bias, 0, 2)
    program.params(bias_immediate=0, channels=20).add(
        "VECTOR", **slab(1, 1, 25), source=1, **output(64, 1, 1, 25)
    ).run()
    np.testing.assert_array_equal(result(program, 64, 25), [*range(20), *range(5)])


def test_transfers_with_steps_and_statistics():
    rng = np.random.default_rng(6)
    data = random_int8(rng, 4, 3, 10)
    program = Program(ODD)
    source = program.place(data)
    # 2 x 3 runs of 5 bytes: columns 2 to 6 of rows 0 and 1 of each third item.
    program.add(
        "LOAD",
        memory=source + 2,
        buffer=7,
        length=5,
        count_1=2,
        memory_step_1=10,
        buffer_step_1=6,
        count_2=3,
        memory_step_2=30,
        buffer_step_2=20,
    )
    program.add(
        "STORE",
        memory=8192 + 3,
        buffer=7,
        length=5,
        count_1=3,
        memory_step_1=9,
        buffer_step_1=20,
        count_2=2,
        memory_step_2=(1 << 32) - 64,
        buffer_step_2=6,
    )
    statistics = program.run()
    for item in range(3):
        for row in range(2):
            address = 7 + 20 * item + 6 * row
            np.testing.assert_array_equal(
                program.machine.activation[address : address + 5].view(np.int8), data[item, row, 2:7]
            )
            target = 8195 + 9 * item - 64 * row
            np.testing.assert_array_equal(
                program.memory[target : target + 5].view(np.int8), data[item, row, 2:7]
            )
    reads = [(source + 2 + 30 * item + 10 * row) for item in range(3) for row in range(2)]
    writes = [8195 + 9 * item - 64 * row for item in range(3) for row in range(2)]
    assert statistics.bytes_read == 3 * 64 + sum(4 * ((a + 4) // 4 - a // 4 + 1) for a in reads)
    assert statistics.bytes_written == sum(4 * ((a + 4) // 4 - a // 4 + 1) for a in writes)


def test_base_and_layers():
    program = Program(ODD, base=4096)
    stream = (
        encode("LOAD", memory=256, length=8, count_1=1, count_2=1, layer=7)
        + encode("STORE", memory=300, length=8, count_1=1, count_2=1)
        + encode("END")
    )
    program.memory[4096 + 64 : 4096 + 64 + len(stream)] = np.frombuffer(stream, np.uint8)
    program.memory[4096 + 256 : 4096 + 264] = range(8)
    machine = Machine(ODD, program.memory, 4096, 1000)
    statistics = machine.run(64)
    np.testing.assert_array_equal(program.memory[4096 + 300 : 4096 + 308], range(8))
    assert statistics.layer_commands[7]["LOAD"] == 1
    assert len(program_commands(program.memory, 64, 4096)) == 3
    with pytest.raises(
        MachineError, match=r"Command 0 \(LOAD\): memory must be inside the 260 bytes \(LIMIT\)"
    ):
        Machine(ODD, program.memory, 4096, 260).run(64)


@pytest.mark.parametrize(("fields", "lowest"), [
    ({"memory": 8192, "length": 8}, None),
    ({"memory": 8191, "length": 8}, 8191),
    ({"memory": 8300, "length": 8, "count_1": 3, "memory_step_1": 2**32 - 60}, 8180),
    ({"memory": 64, "length": 8}, 64),
])
def test_writable(fields, lowest):
    """A STORE below WRITABLE is refused, and leaves memory as it is."""
    program = Program(ODD).load(np.arange(8, dtype=np.int8), signal=STORE)
    before = program.memory.copy()
    program.add("STORE", **{**RUN, **fields}, wait=LOAD)
    if lowest is None:
        program.run(writable=8192)
        return
    message = rf"1 \(STORE\): memory must be at least 0x2000 \(WRITABLE\) from BASE, not '{lowest:#x}'"
    with pytest.raises(MachineError, match=message):
        program.run(writable=8192)
    np.testing.assert_array_equal(program.memory[192:], before[192:])


def test_commands_lie_below_what_is_writable():
    Program(ODD).params().run(writable=128)
    with pytest.raises(MachineError, match=r"program must be below 0x40 \(WRITABLE\) from BASE, not '0x40 to 0x80'"):
        Program(ODD).params().run(writable=64)


def test_constructor_rules():
    with pytest.raises(ValueError, match="Memory must be a bytearray"):
        Machine(ODD, np.zeros(64, np.int8))
    with pytest.raises(ValueError, match="Base must be a multiple of 4096, not 64"):
        Machine(ODD, bytearray(8192), 64)
    with pytest.raises(ValueError, match="Program offset must be a multiple of 64, not 3"):
        Machine(ODD, bytearray(8192)).run(3)


RUN = {"length": 4, "count_1": 1, "count_2": 1}
STREAM = {**slab(1, 1, 3), "chunk_count": 1, "block_count": 1}
POOL = {**slab(1, 1, 3), "source": 1, **output(100, 1, 1, 3)}
ERRORS = [
    ("LOAD", {**RUN, "length": 0}, "length must be at least 1, not 0"),
    ("LOAD", {**RUN, "count_1": 0}, "count_1 must be at least 1, not 0"),
    ("LOAD", {**RUN, "count_2": 0}, "count_2 must be at least 1, not 0"),
    ("LOAD", {**RUN, "space": 3}, "space must be 0, 1 or 2, not 3"),
    (
        "LOAD",
        {**RUN, "buffer": 4093},
        "buffer must be inside the 4096 bytes of the activation buffer, not '0xffd to 0x1001'",
    ),
    (
        "LOAD",
        {**RUN, "memory": 65533},
        "memory must be inside the 65536 bytes .LIMIT. from BASE, not '0xfffd to 0x10001'",
    ),
    (
        "LOAD",
        {**RUN, "space": 1, "memory": 6},
        "memory must be a multiple of the AXI width, 4 bytes, for space weight, not 6",
    ),
    (
        "LOAD",
        {**RUN, "space": 2, "buffer": 6},
        "buffer must be a multiple of the AXI width, 4 bytes, for space parameter, not 6",
    ),
    ("LOAD", {**RUN, "space": 2, "length": 6}, "length must be a multiple of the AXI width"),
    ("LOAD", {**RUN, "wait": LOAD}, r"wait must not name the command's own engine \(LOAD\)"),
    ("LOAD", {**RUN, "signal": LOAD}, r"signal must not name the command's own engine \(LOAD\)"),
    (
        "LOAD",
        {**RUN, "wait": STORE},
        "would deadlock: it waits for token 1 from STORE, but the commands before it give 0",
    ),
    ("STORE", {**RUN, "buffer": 4093}, "buffer must be inside the 4096 bytes"),
    ("STORE", {**RUN, "memory": 32}, "memory must be outside the program, 0x0 to 0x40, not '0x20'"),
    ("COMPUTE", {**STREAM, "y_count": 0}, "y_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "x_count": 0}, "x_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "ky_count": 0}, "ky_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "kx_count": 0}, "kx_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "chunk_count": 0}, "chunk_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "block_count": 0}, "block_count must be at least 1, not 0"),
    ("COMPUTE", {**STREAM, "weights": 6}, "weights must be a multiple of the AXI width, 4 bytes, not 6"),
    (
        "COMPUTE",
        {**STREAM, "weights": 4084},
        "weights must be such that all 1 tiles lie in the 4096 bytes of the buffer",
    ),
    (
        "COMPUTE",
        {**STREAM, "accumulator": 255, "block_count": 2, "block_step": 1},
        "accumulator must be such that all entries lie below 256, not '255 to 256'",
    ),
    (
        "COMPUTE",
        {**STREAM, "base": 4094},
        "base must be such that all addresses lie in the 4096 bytes of the activation buffer",
    ),
    ("VECTOR", {**POOL, "row_bytes": 8192}, "row_bytes must be at most 8191, not 8192"),
    (
        "VECTOR",
        {**POOL, "first_byte": -8192},
        "first_byte must be such that all bytes of the walk are -818[0-9] to 818[0-9], not '-8192 to",
    ),
    ("VECTOR", {**POOL, "channels": 0}, "channels must be at least 1, not 0"),
    ("VECTOR", {**POOL, "y_count": 0}, "y_count must be at least 1, not 0"),
    ("VECTOR", {**POOL, "kx_count": 0}, "kx_count must be at least 1, not 0"),
    ("VECTOR", {**POOL, "minimum": 5, "maximum": 4}, "minimum must be at most maximum, 4, not 5"),
    ("VECTOR", {**POOL, "rounding": 3}, "rounding must be 0, 1 or 2, not 3"),
    (
        "VECTOR",
        {**POOL, "destination": 4094},
        "destination must be such that all addresses lie in the 4096 bytes",
    ),
    (
        "VECTOR",
        {**POOL, "source": 0, "base": 256},
        "base must be such that all entries lie below 256, not '256 to 256'",
    ),
    (
        "VECTOR",
        {**POOL, "x_count": 2, "row_bytes": 6, "destination": 3, "destination_x": 1},
        "destination must be such that the command does not overwrite bytes that it reads later, not '0x3'",
    ),
    ("PARAMS", {"channels": 0}, "channels must be 1 to 20, not 0"),
    ("PARAMS", {"channels": 21}, "channels must be 1 to 20, not 21"),
    (
        "PARAMS",
        {"channels": 4, "bias_base": 253, "scale_immediate": 1},
        "bias_base must be such that all 4 words lie below 256",
    ),
    (
        "PARAMS",
        {"channels": 4, "scale_base": 250, "bias_immediate": 1},
        "scale_base must be such that all 8 words lie below 256",
    ),
    ("PARAMS", {"channels": 1, "scale_base": 3, "bias_immediate": 1}, "scale_base must be even, not 3"),
    (
        "PARAMS",
        {**IDENTITY, "channels": 1, "multiplier": 1 << 31},
        r"multiplier must be 0 to 2\*\*31 - 1, not 2147483648",
    ),
    ("PARAMS", {**IDENTITY, "channels": 1, "exponent": 31}, "exponent must be -31 to 30, not 31"),
    ("PARAMS", {**IDENTITY, "channels": 1, "exponent": -32}, "exponent must be -31 to 30, not -32"),
    ("PARAMS", {**IDENTITY, "channels": 1, "exponent_a": 1}, "exponent_a must be -31 to 0, not 1"),
    (
        "PARAMS",
        {**IDENTITY, "channels": 1, "multiplier_b": 1 << 31},
        r"multiplier_b must be 0 to 2\*\*31 - 1",
    ),
    ("END", {"wait": 1}, "wait must be 0, not 1"),
    ("END", {"signal": 1}, "signal must be 0, not 1"),
]


@pytest.mark.parametrize(("name", "fields", "message"), ERRORS, ids=[f"{e[0]}-{e[2][:30]}" for e in ERRORS])
def test_each_error_names_command_field_and_rule(name, fields, message):
    program = Program(ODD)
    program.memory[16384:] = 0xFF  # weights without zeros
    program.load(np.ones(4096 - 16, np.int8), 0, 1, length=4096) if name == "COMPUTE" else program.load(
        np.ones(4, np.int8)
    )
    program.add(name, **fields)
    if name == "STORE" and "memory" in fields:
        program.commands.pop(0)
    index = len(program.commands) - 1
    with pytest.raises(MachineError, match=rf"^Command {index} \({name}\): {message}") as caught:
        program.run(end=name != "END")
    assert (caught.value.opcode, caught.value.index) == (name, index)


def test_accumulations_must_be_five_cycles_apart():
    # Tiles of 12 vectors: the second comes to entry 9 three cycles after the first.
    walk = {**slab(3, 4, 3), "chunk_count": 1}
    apart = {"block_count": 2, "block_step": 7}
    Program(ODD).load(np.zeros(64, np.int8)).load(np.zeros(30, np.int8), 0, 1).add(
        "COMPUTE", **walk, **apart
    ).run()
    message = r"^Command %d \(COMPUTE\): accumulator must be such that no entry is updated twice within 5 cyc"
    with pytest.raises(MachineError, match=message % 2):
        program = Program(ODD).load(np.zeros(64, np.int8)).load(np.zeros(30, np.int8), 0, 1)
        program.add("COMPUTE", **walk, block_count=2, block_step=9).run()
    with pytest.raises(MachineError, match=message % 3):
        program = Program(ODD).load(np.zeros(64, np.int8)).load(np.zeros(30, np.int8), 0, 1)
        program.add("COMPUTE", **walk, block_count=1).add(
            "COMPUTE", **walk, block_count=1, accumulator=9
        ).run()


def test_unknown_opcode_and_missing_end():
    program = Program(ODD)
    program.commands.append(bytes([9]) + bytes(63))
    with pytest.raises(
        MachineError, match=r"^Command 0 \(unknown\): Opcode must be one of \[0, 1, 2, 3, 4, 5\], not 9"
    ):
        program.run()
    with pytest.raises(MachineError, match=r"^Command 2 \(fetch\): program must be inside the 128 bytes"):
        Machine(
            ODD, np.frombuffer(bytearray(2 * encode("PARAMS", channels=1, **IDENTITY)), np.uint8).copy()
        ).run(0)


def test_optional_units_are_checked():
    plain = replace(ODD, residual_add=False, softmax=False)
    with pytest.raises(MachineError, match="operand_scale must be 0 in a configuration without residual_add"):
        Program(plain).add("VECTOR", **POOL, operand_scale=1).run()
    with pytest.raises(MachineError, match="source must be 0 in a configuration without pooling"):
        Program(replace(plain, pooling=False)).add("VECTOR", **POOL).run()
    with pytest.raises(MachineError, match="softmax must be 0 in a configuration without softmax"):
        Program(plain).params(softmax=1).run()
    with pytest.raises(MachineError, match="column_mode must be 0 in a configuration without depthwise_streams"):
        Program(plain).add("COMPUTE", **STREAM, column_mode=1).run()


@pytest.mark.parametrize(
    ("name", "fields", "limit"),
    [
        ("LOAD", {**RUN, "count_1": 65535, "count_2": 65535}, "4194304"),
        ("STORE", {**RUN, "count_1": 65535, "count_2": 65535, "memory": 32768}, "4194304"),
        ("COMPUTE", {**STREAM, "y_count": 65535, "x_count": 65535}, "67108864"),
        ("VECTOR", {**POOL, "y_count": 65535, "ky_count": 255, "kx_count": 255}, "67108864"),
        ("VECTOR", {**POOL, "source": 0, "y_count": 65535, "x_count": 65535}, "67108864"),
    ],
)
def test_a_command_must_not_take_all_memory(name, fields, limit):
    program = Program(ODD).params().load(np.ones(64, np.int8), 0, 1).add(name, **fields)
    with pytest.raises(MachineError, match=f"work must be at most {limit} bytes for one command, not "):
        program.run()


def test_memory_is_at_most_two_gibibytes():
    with pytest.raises(ValueError, match="^Memory and limit must be at most 2147483648 bytes"):
        Machine(ODD, bytearray(8192), limit=(1 << 31) + 1)


def test_undefined_reads_are_found():
    program = Program(ODD, check_undefined=True).load(np.ones(2, np.int8)).params()
    with pytest.raises(
        MachineError, match=r"^Command 2 \(VECTOR\): activation must be written before it is read, not '0x2'"
    ):
        program.add("VECTOR", **POOL).run()
    with pytest.raises(MachineError, match=r"^Command 0 \(VECTOR\): lane tables must be filled by PARAMS"):
        Program(ODD, check_undefined=True).add("VECTOR", **POOL).run()
    with pytest.raises(
        MachineError, match=r"^Command 0 \(COMPUTE\): weight must be written before it is read"
    ):
        Program(ODD, check_undefined=True).add("COMPUTE", **STREAM).run()
    with pytest.raises(
        MachineError, match=r"^Command 1 \(VECTOR\): accumulator must be written before it is read"
    ):
        Program(ODD, check_undefined=True).params().add("VECTOR", **{**POOL, "source": 0}).run()
    # Lanes under zero weights do not count as read.
    weights = np.ones((3, 5), np.int8)
    weights[2] = 0
    Program(ODD, check_undefined=True).load(np.ones(2, np.int8)).load(weights, 0, 1).add(
        "COMPUTE", **STREAM
    ).run()


def test_tables_do_not_outlast_a_program():
    program = Program(ODD, check_undefined=True).load(np.ones(3, np.int8)).params().add("VECTOR", **POOL)
    program.run()
    stream = encode("VECTOR", **POOL) + encode("END")
    program.memory[: len(stream)] = np.frombuffer(stream, np.uint8)
    with pytest.raises(MachineError, match=r"^Command 0 \(VECTOR\): lane tables must be filled by PARAMS"):
        program.machine.run(0)


def test_tokens_must_be_used_up():
    with pytest.raises(
        MachineError,
        match=r"^Command 1 \(END\): tokens from LOAD to STORE must be used up at the end, not 1 left "
        r"\(the first given by command 0\)",
    ):
        Program(ODD).add("LOAD", **RUN, memory=4096, signal=STORE).run()


def test_token_counters_overflow():
    counters = TokenCounters()
    for index in range(TOKEN_MAXIMUM):
        counters.give(index, "LOAD", Engine.LOAD, VECTOR)
    with pytest.raises(MachineError, match="tokens from LOAD to VECTOR must be at most 65535, not 65536"):
        counters.give(TOKEN_MAXIMUM, "LOAD", Engine.LOAD, VECTOR)


TOKENS = [(0, 1), (1, 2), (2, 3), (1, 4), (2, 5), (3, 6), (4, 5), (5, 6), (6, 7)]
"""Giving and taking command of each token of `pipeline`; every one of them is needed."""
HAZARDS = [
    (3, "COMPUTE", "read after write of weight 0x0", 0, "LOAD"),
    (4, "VECTOR", "read after write of accumulator 0x0", 3, "COMPUTE"),
    (5, "STORE", "read after write of activation 0x40", 4, "VECTOR"),
    (6, "LOAD", "write after read of activation 0x0", 3, "COMPUTE"),
    (7, "COMPUTE", "write after read of accumulator 0x0", 4, "VECTOR"),
    (8, "VECTOR", "write after read of activation 0x40", 5, "STORE"),
    (7, "COMPUTE", "read after write of activation 0x0", 6, "LOAD"),
    (8, "VECTOR", "read after write of accumulator 0x0", 7, "COMPUTE"),
    (9, "STORE", "read after write of activation 0x40", 8, "VECTOR"),
]


def pipeline(tokens):
    """LOAD, COMPUTE, VECTOR and STORE twice over the same buffers, ordered by the given tokens."""
    program = Program(ODD, check_hazards=True).load(np.ones((3, 5), np.int8), 0, 1).params()
    source = program.place(np.arange(3, dtype=np.int8))
    bodies = [
        ("LOAD", {**RUN, "memory": source, "length": 3}),
        ("COMPUTE", STREAM),
        ("VECTOR", {**output(64, 1, 1, 5), "x_count": 1, "y_count": 1}),
        ("STORE", {**RUN, "buffer": 64, "memory": 8192, "length": 5}),
    ]
    for position in range(8):
        name, fields = bodies[position % 4]
        wait = sum(1 << giver % 4 for giver, taker in tokens if taker == position)
        signal = sum(1 << taker % 4 for giver, taker in tokens if giver == position)
        program.add(name, **fields, wait=wait, signal=signal)
    return program


def test_hazard_check_accepts_an_ordered_program():
    program = pipeline(TOKENS)
    program.run()
    assert (program.memory[8192:8197] == 3).all()


@pytest.mark.parametrize("removed", range(len(TOKENS)))
def test_hazard_check_finds_each_removed_token(removed):
    index, name, hazard, other, engine = HAZARDS[removed]
    message = (
        rf"^Command {index} \({name}\): {hazard} is not ordered by tokens after command {other} "
        rf"\({engine} engine\)"
    )
    with pytest.raises(HazardError, match=message) as caught:
        pipeline(TOKENS[:removed] + TOKENS[removed + 1 :]).run()
    assert caught.value.other == other


@pytest.mark.parametrize("removed", range(len(TOKENS)))
def test_token_check_finds_each_token_that_is_not_given(removed):
    program = pipeline(TOKENS)
    giver, taker = TOKENS[removed]
    position = 2 + giver
    word = int.from_bytes(program.commands[position][:4], "little") & ~(1 << 8 + taker % 4)
    program.commands[position] = word.to_bytes(4, "little") + program.commands[position][4:]
    with pytest.raises(
        MachineError, match=rf"would deadlock: it waits for token \d from {Engine(giver % 4).name}"
    ):
        program.run(check_hazards=False)


def test_hazard_check_write_after_read_and_write_after_write():
    program = Program(ODD, check_hazards=True).load(np.ones(8, np.int8), signal=STORE)
    program.add("STORE", **{**RUN, "memory": 8192}, wait=LOAD).load(np.ones(8, np.int8))
    with pytest.raises(
        HazardError,
        match=r"^Command 2 \(LOAD\): write after read of activation 0x0 is not ordered by tokens after "
        r"command 1 \(STORE engine\)",
    ) as caught:
        program.run()
    assert (caught.value.kind, caught.value.space, caught.value.other) == (
        "write after read",
        "activation",
        1,
    )
    program = Program(ODD, check_hazards=True).params().add("VECTOR", **{**POOL, "base": 8})
    program.load(np.ones(8, np.int8), 96)
    with pytest.raises(HazardError, match=r"^Command 2 \(LOAD\): write after write of activation 0x64"):
        program.run()


def test_hazard_check_of_main_memory():
    program = (
        Program(ODD, check_hazards=True).add("STORE", **RUN, memory=8192).add("LOAD", **RUN, memory=8195)
    )
    with pytest.raises(HazardError, match=r"^Command 1 \(LOAD\): read after write of memory 0x2003"):
        program.run()
    program = Program(ODD, check_hazards=True).add("STORE", **RUN, memory=8192, signal=LOAD)
    program.add("LOAD", **{**RUN, "length": 3}, buffer=8, memory=8195, wait=STORE).run()


def test_vector_commands_need_the_fence():
    def chain(fence):
        return (
            Program(ODD, check_hazards=True)
            .params()
            .add("VECTOR", **POOL)
            .add("VECTOR", **{**POOL, "base": 102, "destination": 200, "fence": fence})
        )

    chain(1).run()
    with pytest.raises(
        HazardError,
        match=r"^Command 2 \(VECTOR\): read after write of activation 0x66 is not ordered by the fence "
        r"flag after command 1 \(VECTOR engine\)",
    ):
        chain(0).run()


def test_five_thousand_commands_take_seconds():
    config = PRESETS["small-8x8"]
    program = Program(config, size=1 << 20, check_hazards=True)
    program.top = 1 << 19
    program.load(np.ones((16, 16, 8), np.int8)).load(
        np.ones((9, 8, 8), np.int8), 0, 1, signal=COMPUTE
    ).params()
    fields = {
        **slab(
            8,
            8,
            8,
            ky_count=3,
            kx_count=3,
            ky_row_step=1,
            ky_addr_step=128,
            kx_byte_step=8,
            rows=16,
            row_bytes=128,
            y_addr_step=128,
        ),
        "chunk_count": 1,
        "block_count": 1,
    }
    for number in range(2500):
        half = number % 2 * 256
        wait = LOAD if not number else VECTOR if number > 1 else 0
        program.add("COMPUTE", **fields, accumulator=half, wait=wait, signal=VECTOR)
        program.add(
            "VECTOR",
            **output(4096, 8, 8, 8),
            base=half,
            y_count=8,
            x_count=8,
            wait=COMPUTE,
            signal=COMPUTE if number < 2498 else 0,
        )
    start = time.perf_counter()
    program.run()
    assert time.perf_counter() - start < 15
