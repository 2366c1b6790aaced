"""The vector engine against the machine-level golden model."""

import random

import numpy as np
import pytest
from amaranth.hdl import Signal

from systolith.vector_engine import VectorEngine
from systolith_sim.vector_bench import VectorBench, random_vector_command
from systolith_spec.commands import Rounding, encode
from systolith_spec.config import AcceleratorConfig


def geometry(cols, lanes, **changes):
    values = dict(
        name="test",
        rows=4,
        cols=cols,
        vector_lanes=lanes,
        activation_bytes=2048,
        weight_bytes=1024,
        parameter_bytes=2048,
        accumulator_depth=32,
        parameter_groups=8,
        axi_data_width=32,
    )
    return AcceleratorConfig(**{**values, **changes})


GEOMETRIES = [(2, 1), (2, 2), (3, 1), (3, 3), (4, 2), (4, 4), (8, 1), (8, 2), (8, 8)]


def scales(generator, count, low=-12, high=-2):
    return [(generator.randint(1 << 30, (1 << 31) - 1), generator.randint(low, high)) for _ in range(count)]


def loaded_bench(config, seed, banks=2):
    """Bench with random parameters, and the PARAMS commands that load them into both banks."""
    generator = random.Random(seed)
    bench = VectorBench(config, seed=seed)
    count = config.table_channels
    commands = []
    base = 0
    for bank in range(banks):
        base += base % 2
        biases = [generator.randint(-20000, 20000) for _ in range(count)]
        bench.fill_parameters(base, biases, base + count + count % 2, scales(generator, count))
        a, b = scales(generator, 2, -20, -18)
        commands.append(
            encode(
                "PARAMS",
                bank=bank,
                bias_base=base,
                scale_base=base + count + count % 2,
                channels=count,
                multiplier_a=a[0],
                exponent_a=a[1],
                multiplier_b=b[0],
                exponent_b=b[1],
            )
        )
        base += 3 * count + 1
    return generator, bench, commands


def immediate(bank=0, bias=0, multiplier=1 << 30, exponent=1, **fields):
    """PARAMS that give all channels the same values; the default is the identity."""
    return encode(
        "PARAMS",
        bank=bank,
        bias_immediate=1,
        scale_immediate=1,
        bias=bias,
        multiplier=multiplier,
        exponent=exponent,
        channels=1,
        **fields,
    )


@pytest.mark.parametrize("cols,lanes", GEOMETRIES)
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_random_commands_of_all_sorts(cols, lanes, stall):
    generator, bench, commands = loaded_bench(geometry(cols, lanes), seed=cols * 10 + lanes)
    for _ in range(20):
        fields = random_vector_command(
            generator,
            bench.config,
            source=generator.randint(0, 1),
            bank=generator.randint(0, 1),
            small=generator.random() < 0.3,
        )
        commands.append(encode("VECTOR", **fields))
        if generator.random() < 0.2:
            commands.append(
                immediate(
                    bank=generator.randint(0, 1),
                    bias=generator.randint(-99, 99),
                    multiplier=generator.randint(1 << 30, (1 << 31) - 1),
                    exponent=generator.randint(-9, -3),
                )
            )
    bench.run(commands, read_stall=stall, write_stall=stall, command_stall=stall)


@pytest.mark.parametrize(
    "changes",
    [
        dict(residual_add=False),
        dict(residual_add=False, pooling=False, softmax=False),
        dict(parameter_groups=2),
        dict(activation_banks=1, axi_data_width=128),
    ],
)
def test_optional_units(changes):
    config = geometry(4, 2, **changes)
    generator, bench, commands = loaded_bench(config, seed=5)
    for _ in range(20):
        fields = random_vector_command(
            generator, config, source=config.pooling * generator.randint(0, 1), bank=generator.randint(0, 1)
        )
        commands.append(encode("VECTOR", **fields))
    bench.run(commands, read_stall=0.2, write_stall=0.2)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_one_group_table(stall):
    config = geometry(2, 2, parameter_groups=1)
    generator, bench, commands = loaded_bench(config, seed=6)
    for _ in range(10):
        commands.append(
            encode("VECTOR", **random_vector_command(generator, config, source=generator.randint(0, 1)))
        )
    bench.run(commands, read_stall=stall, write_stall=stall)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_many_small_commands(stall):
    """More commands than may be in flight, one write each, with both banks and PARAMS between them."""
    generator, bench, commands = loaded_bench(geometry(4, 4, parameter_groups=1), seed=7)
    for index in range(60):
        commands.append(
            encode(
                "VECTOR",
                **random_vector_command(
                    generator, bench.config, source=index // 20 % 2, bank=generator.randint(0, 1), small=True
                ),
            )
        )
        if index % 7 == 3:
            commands.append(
                immediate(
                    bank=generator.randint(0, 1),
                    exponent=-generator.randint(4, 9),
                    multiplier=generator.randint(1 << 30, (1 << 31) - 1),
                )
            )
    bench.run(commands, read_stall=stall, write_stall=stall)


@pytest.mark.parametrize("source", [0, 1])
def test_parameters_change_behind_a_running_command(source):
    """The same bank over and over: a PARAMS must wait for the elements in flight, and they for it."""
    generator, bench, _ = loaded_bench(geometry(4, 2), seed=8)
    commands = []
    for index in range(12):
        channels = generator.randint(1, 16)
        kind = generator.randint(0, 3)
        base = generator.randint(0, 40)
        commands.append(
            immediate(bias=index, multiplier=(1 << 30) + index, exponent=-5)
            if index == 0
            else encode(
                "PARAMS",
                channels=channels,
                bias_immediate=kind & 1,
                scale_immediate=kind >> 1,
                bias_base=base,
                scale_base=100 + 2 * generator.randint(0, 20),
                bias=generator.randint(-5000, 5000),
                multiplier=generator.randint(1 << 30, (1 << 31) - 1),
                exponent=generator.randint(-9, -3),
            )
        )
        commands.append(
            encode(
                "VECTOR", **random_vector_command(generator, bench.config, source=source, channels=channels)
            )
        )
    bench.fill_parameters(0, [generator.randint(-9999, 9999) for _ in range(64)], 100, scales(generator, 40))
    bench.run(commands)


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_chains_through_the_activation_buffer(stall):
    """Each command reads, behind a fence, what the one before has written."""
    bench = VectorBench(geometry(4, 2), seed=9)
    commands = [immediate(exponent=1), immediate(bank=1, exponent=-2, bias=3)]
    window = dict(
        source=1,
        y_count=1,
        rows=1,
        ky_count=1,
        kx_count=1,
        x_byte_step=4,
        channels=4,
        x_count=16,
        destination_x=4,
        row_bytes=64,
        minimum=-128,
        maximum=127,
    )
    for index in range(8):
        commands.append(
            encode(
                "VECTOR",
                fence=1,
                bank=index % 3 == 1,
                base=64 * index,
                destination=64 * (index + 1),
                zero_out=index - 4,
                **window,
            )
        )
        if index % 3 == 2:
            commands.append(
                encode(
                    "VECTOR",
                    y_count=1,
                    x_count=16,
                    channels=4,
                    base=3 * index,
                    bank=1,
                    destination=64 * (index + 1),
                    destination_x=4,
                    minimum=-100,
                    maximum=100,
                    fence=1,
                )
            )
    bench.run(commands, read_stall=stall, write_stall=stall)


def test_extreme_accumulators_and_biases():
    """Sums near the ends of 32 bits, biases beyond 2**30, shifts from -31 to 30, all rounding rules."""
    config = geometry(4, 4)
    generator = random.Random(10)
    bench = VectorBench(config, seed=10)
    extremes = [-(1 << 31), (1 << 31) - 1, 1 << 30, -(1 << 30), (1 << 30) + 128, 0, -1, 1]
    bench.accumulators[:] = np.array(
        [generator.choice(extremes) for _ in range(bench.accumulators.size)]
    ).reshape(bench.accumulators.shape)
    bench.accumulators[:, 0] = np.random.default_rng(1).integers(-(1 << 31), 1 << 31, len(bench.accumulators))
    bench.fill_parameters(
        0,
        [generator.choice(extremes) for _ in range(32)],
        32,
        [
            (
                generator.choice([0, 1 << 30, (1 << 31) - 1]),
                generator.choice([-31, -30, -16, -8, -1, 0, 1, 2, 15, 30]),
            )
            for _ in range(32)
        ],
    )
    bench.fill_parameters(
        128, [generator.choice(extremes) for _ in range(32)], 160, scales(generator, 32, -31, -20)
    )
    commands = [
        encode("PARAMS", channels=32, scale_base=32),
        encode("PARAMS", channels=32, bank=1, bias_base=128, scale_base=160),
    ]
    for bank, rounding in (
        (0, Rounding.DOUBLE),
        (0, Rounding.SINGLE),
        (1, Rounding.TRUNCATE),
        (1, Rounding.DOUBLE),
    ):
        for sign in (0, 1):
            commands.append(
                encode(
                    "VECTOR",
                    y_count=1,
                    x_count=8,
                    channels=32,
                    block_step=8,
                    rounding=rounding,
                    bias_follows_sign=sign,
                    bank=bank,
                    destination=256 * len(commands) % 2048,
                    destination_x=32,
                    minimum=-128,
                    maximum=127,
                    zero_out=-5,
                )
            )
    bench.run(commands)


def pooling_command(height, width, channels, kernel, stride, padding, **fields):
    """Window over a dense NHWC tensor at address 0, results at 1024; returns fields and output size."""
    rows = (height + 2 * padding - kernel) // stride + 1
    columns = (width + 2 * padding - kernel) // stride + 1
    pitch = width * channels
    return (
        dict(
            source=1,
            base=(-padding * pitch) % (1 << 24),
            first_row=-padding,
            rows=height,
            first_byte=-padding * channels,
            row_bytes=pitch,
            y_count=rows,
            y_row_step=stride,
            y_addr_step=stride * pitch,
            x_count=columns,
            ky_count=kernel,
            kx_count=kernel,
            x_byte_step=stride * channels,
            ky_row_step=1,
            ky_addr_step=pitch,
            kx_byte_step=channels,
            channels=channels,
            destination=1024,
            destination_x=channels,
            destination_y=columns * channels,
            minimum=-128,
            maximum=127,
            **fields,
        ),
        rows,
        columns,
    )


def results(bench, commands, count):
    """Run, compare with the golden machine, and return what stands at address 1024."""
    bench.run(commands, read_stall=0.1, write_stall=0.1)
    return bench.expected(commands)[1024 : 1024 + count].view(np.int8)


@pytest.mark.parametrize(
    "height,width,channels,kernel,stride,padding",
    [(6, 5, 5, 3, 2, 1), (4, 4, 8, 2, 2, 0), (5, 7, 3, 3, 1, 1), (3, 3, 1, 3, 1, 0)],
)
def test_maximum_pooling(height, width, channels, kernel, stride, padding):
    bench = VectorBench(geometry(4, 2), seed=11)
    fields, rows, columns = pooling_command(
        height, width, channels, kernel, stride, padding, maximum_reduce=1, pad=-128
    )
    got = results(bench, [immediate(), encode("VECTOR", **fields)], rows * columns * channels)
    x = bench.activation[: height * width * channels].view(np.int8).reshape(height, width, channels)
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)), constant_values=-128)
    want = np.array(
        [
            [
                x[r * stride : r * stride + kernel, c * stride : c * stride + kernel].max(axis=(0, 1))
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )
    np.testing.assert_array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize(
    "height,width,channels,kernel,stride", [(6, 6, 5, 2, 2), (7, 5, 4, 3, 2), (6, 6, 6, 6, 1)]
)
def test_average_pooling(height, width, channels, kernel, stride):
    """Division of the sum, plus or minus half the count, toward zero, as TFLite divides."""
    bench = VectorBench(geometry(4, 2), seed=12)
    n = kernel * kernel
    fields, rows, columns = pooling_command(
        height, width, channels, kernel, stride, 0, bias_follows_sign=1, rounding=Rounding.TRUNCATE
    )
    commands = [immediate(bias=n // 2, multiplier=-(-(1 << 31) // n), exponent=0), encode("VECTOR", **fields)]
    got = results(bench, commands, rows * columns * channels)
    x = (
        bench.activation[: height * width * channels]
        .view(np.int8)
        .reshape(height, width, channels)
        .astype(int)
    )
    sums = np.array(
        [
            [
                x[r * stride : r * stride + kernel, c * stride : c * stride + kernel].sum(axis=(0, 1))
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )
    want = np.trunc((sums + np.where(sums > 0, n // 2, -(n // 2))) / n).astype(int)
    np.testing.assert_array_equal(got.reshape(want.shape), want)


@pytest.mark.parametrize("backwards", [False, True])
def test_addition(backwards):
    """TFLite's quantised ADD; the second operand may lie behind or before the first."""
    bench = VectorBench(geometry(4, 2), seed=13)
    count, distance = 60, 400
    scale_a, scale_b, scale_out, zero_a, zero_b, zero_out = 0.021, 0.037, 0.045, -3, 17, -9

    def quantized(real):
        fraction, exponent = np.frexp(real)
        return int(round(fraction * (1 << 31))), int(exponent)

    twice = 2 * max(scale_a, scale_b)
    a, b, out = (
        quantized(scale_a / twice),
        quantized(scale_b / twice),
        quantized(twice / ((1 << 20) * scale_out)),
    )
    commands = [
        immediate(
            multiplier=out[0],
            exponent=out[1],
            multiplier_a=a[0],
            exponent_a=a[1],
            multiplier_b=b[0],
            exponent_b=b[1],
        ),
        encode(
            "VECTOR",
            source=1,
            operand_scale=1,
            rows=1,
            row_bytes=count + distance,
            y_count=1,
            x_count=count // 6,
            ky_count=1,
            kx_count=2,
            x_byte_step=6,
            kx_byte_step=-distance if backwards else distance,
            first_byte=distance if backwards else 0,
            channels=6,
            zero_a=zero_a,
            zero_b=zero_b,
            zero_out=zero_out,
            minimum=-128,
            maximum=127,
            destination=1024,
            destination_x=6,
        ),
    ]
    got = results(bench, commands, count)

    def multiply(x, scale):
        p = x * scale[0]
        p += (1 << 30) if p >= 0 else 1 - (1 << 30)
        h = p >> 31 if p >= 0 else -(-p >> 31)
        r = -scale[1]
        return (h >> r) + ((h & ((1 << r) - 1)) > (((1 << r) - 1) >> 1) + (h < 0))

    stored = bench.activation.view(np.int8)
    first, second = (stored[:count], stored[distance : distance + count])[:: -1 if backwards else 1]
    want = [
        max(
            -128,
            min(
                127,
                zero_out
                + multiply(multiply((int(x) - zero_a) << 20, a) + multiply((int(y) - zero_b) << 20, b), out),
            ),
        )
        for x, y in zip(first, second, strict=True)
    ]
    np.testing.assert_array_equal(got, want)


def test_padding_by_masks():
    """A copy whose window starts outside the slab writes a frame of the pad value around it."""
    bench = VectorBench(geometry(4, 2), seed=14)
    fields, rows, columns = pooling_command(4, 5, 3, 1, 1, 2, pad=7)
    got = results(bench, [immediate(), encode("VECTOR", **fields)], rows * columns * 3)
    x = bench.activation[:60].view(np.int8).reshape(4, 5, 3)
    np.testing.assert_array_equal(
        got.reshape(8, 9, 3), np.pad(x, ((2, 2), (2, 2), (0, 0)), constant_values=7)
    )


@pytest.mark.parametrize("cycles", [1, 9, 30, 47, 60, 111])
def test_reset_in_mid_stream(cycles):
    generator, bench, commands = loaded_bench(geometry(4, 2), seed=15)
    commands += [
        encode("VECTOR", **random_vector_command(generator, bench.config, source=index % 2))
        for index in range(6)
    ]
    dut = VectorEngine(config=bench.config)
    reset = Signal()
    interrupted = [
        immediate(),
        encode(
            "VECTOR",
            **random_vector_command(
                generator, bench.config, source=cycles % 2, channels=12, y_count=3, x_count=4
            ),
        ),
        immediate(bank=1),
    ]

    async def interrupt(ctx):
        index = 0
        for _ in range(cycles):
            ctx.set(dut.command.valid, index < len(interrupted))
            if index < len(interrupted):
                ctx.set(dut.command.payload.as_value(), int.from_bytes(interrupted[index], "little"))
            *_, valid, ready = await ctx.tick().sample(dut.command.valid, dut.command.ready)
            index += valid & ready
        ctx.set(dut.command.valid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(dut.busy) and not ctx.get(dut.retire)
        await ctx.tick().repeat(8)  # longer than the responses of reads before the reset take

    bench.run(commands, dut=dut, reset=reset, before=[interrupt])
