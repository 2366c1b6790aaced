"""Beats, bursts and cycles of LOAD and STORE, as formulas.

The numbers of beats and bursts are exact. :func:`transfer_cycles` is the time that a transfer keeps its data
channel occupied when memory answers at once every cycle; the latencies below come on top, once per transfer that
finds its engine idle (transfers that follow each other overlap them).
"""

from collections.abc import Iterator

from systolith_spec.config import AcceleratorConfig

__all__ = [
    "COMMAND_CYCLES", "LOAD_FIRST_REQUEST", "LOAD_RETIRE", "STORE_FIRST_BEAT", "STORE_FIRST_REQUEST", "STORE_RETIRE",
    "burst_bytes", "run_beats", "run_bursts", "transfer_beats", "transfer_bursts", "transfer_cycles", "transfer_runs",
    "load_cycles", "store_cycles",
]

COMMAND_CYCLES = 3
"""Fewest cycles from accepting a command to accepting the next one: registers, set-up, one run."""
LOAD_FIRST_REQUEST = 5
"""Cycles from an accepted LOAD to AR valid, engine idle before."""
LOAD_RETIRE = 2
"""Cycles from the last R beat to retire, if the buffer accepts the write at once."""
STORE_FIRST_REQUEST = 5
"""Cycles from an accepted STORE to AW valid, engine idle before."""
STORE_FIRST_BEAT = 12
"""Cycles from an accepted STORE to the first W beat, engine idle before and buffer free."""
STORE_RETIRE = 1
"""Cycles from the last B response to retire."""


def burst_bytes(config: AcceleratorConfig) -> int:
    """Bytes of the longest burst: the largest power of two up to ``burst_beats``, in beats of ``axi_bytes``.

    Bursts start and end at multiples of it (and at the ends of runs).
    """
    return (1 << (config.burst_beats.bit_length() - 1)) * config.axi_bytes


def run_beats(memory: int, length: int, axi_bytes: int) -> int:
    """AXI beats of a run of ``length`` bytes from byte address ``memory`` on."""
    return (memory + length - 1) // axi_bytes - memory // axi_bytes + 1


def run_bursts(config: AcceleratorConfig, memory: int, length: int) -> list[tuple[int, int]]:
    """Bursts of a run, as (address of the first beat, beats)."""
    chunk, bursts, start, end = burst_bytes(config), [], memory, memory + length
    while start < end:
        stop = min(end, (start // chunk + 1) * chunk)
        bursts.append((start // config.axi_bytes * config.axi_bytes,
                       run_beats(start, stop - start, config.axi_bytes)))
        start = stop
    return bursts


def transfer_runs(fields: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Runs of a LOAD or STORE, in order, as (memory offset, buffer address)."""
    for outer in range(fields["count_2"]):
        for inner in range(fields["count_1"]):
            yield ((fields["memory"] + outer * fields["memory_step_2"] + inner * fields["memory_step_1"]) % 2**32,
                   (fields["buffer"] + outer * fields["buffer_step_2"] + inner * fields["buffer_step_1"]) % 2**24)


def transfer_beats(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Beats of a LOAD or STORE; its bytes on the bus are ``axi_bytes`` times that."""
    return sum(run_beats(memory, fields["length"], config.axi_bytes) for memory, _ in transfer_runs(fields))


def transfer_bursts(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Bursts of a LOAD or STORE."""
    return sum(len(run_bursts(config, memory, fields["length"])) for memory, _ in transfer_runs(fields))


def transfer_cycles(config: AcceleratorConfig, fields: dict[str, int], *, memory_latency: int = 0) -> int:
    """Cycles between the first and the last beat of a transfer (inclusive) in steady state.

    The data channel moves a beat a cycle; a burst leaves a cycle; a burst slot is occupied from the request to the
    last beat, so ``outstanding_reads`` bursts take at least ``memory_latency`` plus the slot turnaround.

    Parameters
    ----------
    config : AcceleratorConfig
    fields : dict
        Fields of the command.
    memory_latency : int
        Cycles from a request to its first beat (LOAD), or from the last beat to the response (STORE).
    """
    beats, bursts = transfer_beats(config, fields), transfer_bursts(config, fields)
    slots = -(-bursts // config.outstanding_reads) - 1
    turnaround = memory_latency + 4
    return max(beats, bursts + slots * max(turnaround - config.outstanding_reads, 0))


def load_cycles(config: AcceleratorConfig, fields: dict[str, int], *, memory_latency: int) -> int:
    """Cycles from accepting a LOAD to its retire, engine idle before and activation bank free."""
    return (LOAD_FIRST_REQUEST + memory_latency + transfer_cycles(config, fields, memory_latency=memory_latency) - 1
            + LOAD_RETIRE)


def store_cycles(config: AcceleratorConfig, fields: dict[str, int], *, memory_latency: int) -> int:
    """Cycles from accepting a STORE to its retire, engine idle before and activation bank free."""
    return (STORE_FIRST_BEAT + transfer_cycles(config, fields, memory_latency=memory_latency) - 1 + memory_latency
            + STORE_RETIRE)
