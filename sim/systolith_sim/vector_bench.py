"""Bench for the vector engine: buffers behind its ports, and the machine-level golden model beside it."""

import random
from dataclasses import dataclass, field

import numpy as np

from systolith.accumulator_buffer import AccumulatorBuffer
from systolith.activation_buffer import ActivationBuffer
from systolith.parameter_buffer import ParameterBuffer
from systolith.vector_engine import VectorEngine
from systolith_golden.machine import Machine
from systolith_sim.pysim import simulate
from systolith_spec.commands import decode, encode

__all__ = ["VectorBench", "VectorRun", "random_vector_command"]


@dataclass
class VectorRun:
    """What happened in a simulation; all lists hold clock cycles.

    Attributes
    ----------
    accepted, retired : list of int
        Commands accepted and retired, in order.
    reads, writes : list of int
        Accepted reads (of either source) and accepted writes.
    stall_input, stall_output : int
        Cycles with these flags.
    """

    accepted: list[int] = field(default_factory=list)
    retired: list[int] = field(default_factory=list)
    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)
    stall_input: int = 0
    stall_output: int = 0


class VectorBench:
    """Run commands on a :class:`VectorEngine` and on the golden machine; both start from the same buffers.

    Parameters
    ----------
    config : AcceleratorConfig
    seed : int
        Seed of the buffer contents and stalls.
    """

    def __init__(self, config, *, seed=0):
        self.config = config
        self.seed = seed
        generator = np.random.default_rng(seed)
        self.activation = generator.integers(0, 256, config.activation_bytes, np.uint8)
        wide = generator.integers(-(1 << 31), 1 << 31, (config.accumulator_entries, config.cols))
        narrow = generator.integers(-(1 << 16), 1 << 16, wide.shape)
        self.accumulators = np.where(generator.random(wide.shape) < 0.1, wide, narrow).astype(np.int32)
        self.parameter = np.zeros(config.parameter_bytes, np.uint8)

    def fill_parameters(self, bias_base, biases, scale_base, scales):
        """Put biases and (multiplier, exponent) pairs where PARAMS commands will look for them."""
        words = self.parameter.view("<i4")
        words[bias_base : bias_base + len(biases)] = biases
        for index, (multiplier, exponent) in enumerate(scales):
            words[scale_base + 2 * index] = multiplier
            words[scale_base + 2 * index + 1] = exponent

    def expected(self, commands):
        """Activation buffer after the commands, by the golden machine."""
        program = b"".join((*commands, encode("END")))
        machine = Machine(self.config, np.frombuffer(bytearray(program), np.uint8).copy())
        machine.activation[:] = self.activation
        machine.accumulators[:] = self.accumulators
        machine.parameter[:] = self.parameter
        machine.run(0)
        return machine.activation.copy()

    def run(
        self,
        commands,
        *,
        read_stall=0.0,
        write_stall=0.0,
        command_stall=0.0,
        dut=None,
        reset=None,
        before=(),
        timeout_cycles=40_000,
        check=True,
    ):
        """Simulate, compare the activation buffer byte by byte, and return a :class:`VectorRun`.

        ``before`` are testbenches which run first, one after another (for a reset in mid-stream). With
        ``check`` false the results are not compared (tests of cycles only).
        """
        dut = dut or VectorEngine(config=self.config)
        commands = list(commands)
        run = VectorRun()
        activation = self.activation.copy()
        generator = random.Random(self.seed)

        async def drive(ctx):
            for testbench in before:
                await testbench(ctx)
            activation[:] = self.activation
            run.__init__()
            index = 0
            while index < len(commands):
                offer = generator.random() >= command_stall
                ctx.set(dut.command.valid, offer)
                payload = int.from_bytes(commands[index], "little")
                ctx.set(dut.command.payload.as_value(), payload)
                *_, ready = await ctx.tick().sample(dut.command.ready)
                index += offer and ready
            ctx.set(dut.command.valid, 0)
            while len(run.retired) < len(commands):
                await ctx.tick()
            await ctx.tick().repeat(3)

        serve = self._serve(dut, run, activation, read_stall, write_stall)
        simulate(dut, drive, background=[serve], timeout_cycles=timeout_cycles, reset=reset)
        if check:
            self._compare(commands, activation)
        self._check_retirement(commands, run)
        return run

    def _serve(self, dut, run, activation, read_stall, write_stall):
        """Background testbench: all buffers, one process so that their order within a cycle is fixed."""
        config = self.config
        word = config.activation_word
        lanes = np.arange(word)
        generator = random.Random(self.seed + 1)
        a_pipe = [None] * (ActivationBuffer.read_latency - 1)
        c_pipe = [None] * (AccumulatorBuffer.read_latency - 1)
        p_pipe = [0] * (ParameterBuffer.read_latency - 1)
        words = self.parameter.view("<u4")
        a_read, a_write, c_read, p_read = (
            dut.activation_read,
            dut.activation_write,
            dut.accumulator_read,
            dut.parameter_read,
        )

        async def serve(ctx):
            cycle = 0
            refused = False, False
            held_write = None
            while True:
                a_ready, c_ready, w_ready = (
                    generator.random() >= stall for stall in (read_stall, read_stall, write_stall)
                )
                ctx.set(a_read.ready, a_ready)
                ctx.set(c_read.ready, c_ready)
                ctx.set(a_write.ready, w_ready)
                (
                    *_,
                    a_valid,
                    a_addr,
                    c_valid,
                    entry,
                    w_valid,
                    w_addr,
                    w_data,
                    w_mask,
                    p_en,
                    p_addr,
                    retire,
                    busy,
                    c_v,
                    c_r,
                    stall_input,
                    stall_output,
                ) = await ctx.tick().sample(
                    a_read.valid,
                    a_read.addr,
                    c_read.valid,
                    c_read.entry,
                    a_write.valid,
                    a_write.addr,
                    a_write.data,
                    a_write.mask,
                    p_read.en,
                    p_read.addr,
                    dut.retire,
                    dut.busy,
                    dut.command.valid,
                    dut.command.ready,
                    dut.stall_input,
                    dut.stall_output,
                )
                assert busy or not (retire or a_valid or c_valid or w_valid)
                if c_v and c_r:
                    run.accepted.append(cycle)
                if retire:
                    run.retired.append((cycle, len(run.writes)))
                run.stall_input += stall_input
                run.stall_output += stall_output
                assert (bool(stall_input), bool(stall_output)) == refused  # of the cycle before
                refused = (bool((a_valid and not a_ready) or (c_valid and not c_ready)), bool(w_valid and not w_ready))

                # Reads see the writes accepted in earlier cycles only.
                a_pipe.append(
                    int.from_bytes(activation[(a_addr + lanes) % len(activation)].tobytes(), "little")
                    if a_valid and a_ready
                    else None
                )
                c_pipe.append(self.accumulators[entry].tolist() if c_valid and c_ready else None)
                p_pipe.append(
                    int(words[p_addr & ~1 & (len(words) - 1)])
                    | int(words[(p_addr | 1) & (len(words) - 1)]) << 32
                    if p_en
                    else generator.getrandbits(64)
                )
                if (a_valid and a_ready) or (c_valid and c_ready):
                    run.reads.append(cycle)
                if held_write is not None:
                    assert w_valid and held_write == (w_addr, w_data, w_mask), "write withdrawn"
                held_write = (w_addr, w_data, w_mask) if w_valid and not w_ready else None
                if w_valid and w_ready:
                    mask = np.array([w_mask >> lane & 1 for lane in range(word)], bool)
                    data = np.frombuffer(int(w_data).to_bytes(word, "little"), np.uint8)
                    activation[((w_addr + lanes) % len(activation))[mask]] = data[mask]
                    run.writes.append(cycle)

                for port, value in ((a_read, a_pipe.pop(0)), (c_read, c_pipe.pop(0))):
                    ctx.set(port.data_valid, value is not None)
                    if value is not None:
                        ctx.set(port.data, value)
                    else:
                        ctx.set(
                            port.data,
                            generator.getrandbits(8 * word)
                            if port is a_read
                            else [generator.randint(-(1 << 31), (1 << 31) - 1) for _ in range(config.cols)],
                        )
                ctx.set(p_read.data, p_pipe.pop(0))
                cycle += 1

        return serve

    def _compare(self, commands, activation):
        want = self.expected(commands)
        different = np.flatnonzero(activation != want)
        if len(different):
            first = different[0]
            raise AssertionError(
                f"{len(different)} bytes differ, the first at {first:#x}: "
                f"got {activation[first].view(np.int8)}, want {want[first].view(np.int8)}"
            )

    def _check_retirement(self, commands, run):
        """Retirements are one per cycle, and not before all writes of the command."""
        writes = 0
        assert len(run.retired) == len(commands)
        for command, (_, written) in zip(commands, run.retired, strict=True):
            kind, fields = decode(command)
            if kind.name == "VECTOR":
                writes += (
                    fields["y_count"] * fields["x_count"] * -(-fields["channels"] // self.config.vector_lanes)
                )
            assert written >= writes, "retired before its last write"
        assert len(run.writes) == writes
        run.retired = [cycle for cycle, _ in run.retired]
        assert run.retired == sorted(set(run.retired))


def random_vector_command(generator, config, *, source, bank=0, fence=0, small=False, **fixed):
    """A VECTOR command that reads the lower half of the activation buffer and writes the upper half.

    Returns the command's fields; ``fixed`` ones are taken as they are.
    """
    half = config.activation_bytes // 2
    lanes = config.vector_lanes
    r = generator.randint
    low = r(-128, 127) if r(0, 2) == 0 else -128
    fields = dict(
        source=source,
        bank=bank,
        fence=fence,
        y_count=r(1, 3),
        x_count=r(1, 4),
        zero_out=r(-128, 127),
        minimum=low,
        maximum=r(low, 127) if r(0, 2) == 0 else 127,
        zero_a=r(-128, 127),
        zero_b=r(-128, 127),
        pad=r(-128, 127),
        rounding=r(0, 1),
        bias_follows_sign=r(0, 1),
    )
    limit = min(config.table_channels * 2, 3 * max(lanes, config.cols))
    channels = fields["channels"] = fixed.get("channels") or r(1, lanes if small else limit)
    if small:
        fields["y_count"] = fields["x_count"] = 1
    fields.update({key: fixed[key] for key in ("y_count", "x_count") if key in fixed})
    pixels = fields["y_count"] * fields["x_count"]
    fields["destination_x"] = channels + r(0, 3)
    fields["destination_y"] = fields["x_count"] * fields["destination_x"] + r(0, 5)
    fields["destination"] = half + r(0, half - fields["y_count"] * fields["destination_y"] - channels)
    if not source:
        blocks = -(-channels // config.cols)
        fields["block_step"] = pixels + r(0, 2)
        fields["base"] = r(0, config.accumulator_entries - blocks * fields["block_step"])
    else:
        pixel = channels + r(0, 2)
        rows, columns = r(1, 5), r(1, 5)
        stride_y, stride_x, dilation = r(1, 2), r(1, 2), r(1, 2)
        pitch = columns * pixel + r(0, 3)
        ky, kx = r(1, 3), r(1, 3)
        top, left = r(0, 2), r(0, 2)
        fields.update(
            maximum_reduce=r(0, 1),
            operand_scale=config.residual_add * r(0, 1),
            first_row=-top,
            rows=rows,
            first_byte=-left * pixel,
            row_bytes=columns * pixel - (pixel - channels),
            y_row_step=stride_y,
            y_addr_step=stride_y * pitch,
            ky_count=ky,
            kx_count=kx,
            x_byte_step=stride_x * pixel,
            ky_row_step=dilation,
            ky_addr_step=dilation * pitch,
            kx_byte_step=r(1, 2) * pixel,
        )
        slab = r(0, half - rows * pitch)
        fields["base"] = (slab - top * pitch) % (1 << 24)
    fields.update(fixed)
    return fields
