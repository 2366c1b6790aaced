"""Helpers of the DMA tests: transfer commands and a recorder of engine outputs."""

from systolith_spec.commands import Space

__all__ = ["EnginePulses", "random_transfer", "transfer"]

_DEFAULTS = dict(
    memory=0,
    buffer=0,
    length=1,
    count_1=1,
    count_2=1,
    memory_step_1=0,
    buffer_step_1=0,
    memory_step_2=0,
    buffer_step_2=0,
)


def transfer(**fields):
    """Fields of a LOAD or STORE: one run of one byte unless told otherwise."""
    return _DEFAULTS | fields


def random_transfer(config, rng, *, longest=200, space=Space.ACTIVATION):
    """Random transfer inside 16 KiB of memory, small and long runs, 1-D to 3-D, strides of both signs.

    Parameters
    ----------
    config : AcceleratorConfig
    rng : random.Random
    longest : int
        Bytes of the longest run.
    space : Space
        Other spaces than the activation buffer need aligned transfers.
    """
    align = 1 if space == Space.ACTIVATION else config.axi_bytes
    length = rng.choice([rng.randrange(1, 12), rng.randrange(1, longest)])
    length = -(-length // align) * align
    count_1, count_2 = rng.choice(
        [(1, 1), (rng.randrange(1, 6), 1), (rng.randrange(1, 5), rng.randrange(1, 4))]
    )

    def step(low, high):
        return rng.randrange(low, high) // align * align

    memory_step_1, memory_step_2 = step(0, 300), step(0, 2000)
    buffer_step_1, buffer_step_2 = step(0, 300), step(0, 900)
    memory = step(0, 8000)
    if align == 1 and rng.random() < 0.3:
        # Negative strides wrap modulo 2**32 and 2**24.
        memory += count_1 * memory_step_1
        memory_step_1 = -memory_step_1 % 2**32
        buffer_step_1 = -buffer_step_1 % 2**24
    return transfer(
        memory=memory,
        buffer=step(0, 1 << 24),
        length=length,
        count_1=count_1,
        count_2=count_2,
        memory_step_1=memory_step_1,
        memory_step_2=memory_step_2,
        buffer_step_1=buffer_step_1,
        buffer_step_2=buffer_step_2,
    )


class EnginePulses:
    """Background testbench that records what a DMA engine reports.

    Attributes
    ----------
    retires : list of int
        Cycles of the retire pulses.
    errors : list of (code, address, response)
    beats, stall_input, stall_output : int
        Cycles with the strobe.
    """

    def __init__(self, dut):
        self._dut = dut
        self.retires, self.errors = [], []
        self.beats = self.stall_input = self.stall_output = 0

    async def __call__(self, ctx):
        """Record for ever."""
        dut, cycle = self._dut, 0
        async for _, _, retire, beat, error, stall_input, stall_output in ctx.tick().sample(
            dut.retire, dut.beat, dut.error, dut.stall_input, dut.stall_output
        ):
            if retire:
                self.retires.append(cycle)
            if error.valid:
                self.errors.append((error.code, error.address, error.response))
            self.beats += beat
            self.stall_input += stall_input
            self.stall_output += stall_output
            cycle += 1
