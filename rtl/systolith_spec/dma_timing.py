"""Beats, bursts and cycles of LOAD and STORE.

The numbers of beats and bursts are exact whatever memory does. The cycles are exact for a memory with a
constant latency and no stalls and for a free activation bank; they are lower bounds otherwise.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from systolith_spec.config import AcceleratorConfig

__all__ = [
    "COMMAND_CYCLES",
    "LOAD_FIRST_REQUEST",
    "LOAD_RELEASE",
    "LOAD_RETIRE",
    "STORE_FIRST_BEAT",
    "STORE_FIRST_REQUEST",
    "STORE_RETIRE",
    "burst_bytes",
    "load_cycles",
    "load_retires",
    "run_beats",
    "run_bursts",
    "store_cycles",
    "store_retires",
    "transfer_beats",
    "transfer_bursts",
    "transfer_runs",
]

COMMAND_CYCLES = 3
"""Fewest cycles from accepting a command to accepting the next one: registers, set-up, one run."""
LOAD_FIRST_REQUEST = 5
"""Cycles from an accepted LOAD to AR valid, engine idle before."""
LOAD_RETIRE = 2
"""Cycles from the last R beat to retire, if the buffer accepts the write at once."""
LOAD_RELEASE = 1
"""Cycles from the last R beat of a burst until it no longer counts as outstanding, beyond the next one."""
STORE_FIRST_REQUEST = 5
"""Cycles from an accepted STORE to AW valid, engine idle before."""
STORE_FIRST_BEAT = 14
"""Cycles from an accepted STORE to the first W beat, engine idle before and buffer free."""
STORE_RETIRE = 1
"""Cycles from the last B response to retire."""
_FIRST_ISSUE = 4
"""Cycles from an accepted command until its first burst leaves the splitter."""


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
        bursts.append(
            (start // config.axi_bytes * config.axi_bytes, run_beats(start, stop - start, config.axi_bytes))
        )
        start = stop
    return bursts


def transfer_runs(fields: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Runs of a LOAD or STORE, in order, as (memory offset, buffer address)."""
    for outer in range(fields["count_2"]):
        for inner in range(fields["count_1"]):
            yield (
                (fields["memory"] + outer * fields["memory_step_2"] + inner * fields["memory_step_1"])
                % 2**32,
                (fields["buffer"] + outer * fields["buffer_step_2"] + inner * fields["buffer_step_1"])
                % 2**24,
            )


def transfer_beats(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Beats of a LOAD or STORE; its bytes on the bus are ``axi_bytes`` times that."""
    return sum(run_beats(memory, fields["length"], config.axi_bytes) for memory, _ in transfer_runs(fields))


def transfer_bursts(config: AcceleratorConfig, fields: dict[str, int]) -> int:
    """Bursts of a LOAD or STORE."""
    return sum(len(run_bursts(config, memory, fields["length"])) for memory, _ in transfer_runs(fields))


def load_retires(
    config: AcceleratorConfig, transfers: Iterable[dict[str, int]], *, memory_latency: int
) -> list[int]:
    """Cycles at which LOADs retire, counted from the cycle in which the first is accepted.

    Every command is offered at once, memory answers ``memory_latency`` (at least 1) cycles after a request
    and then once a cycle, the activation bank is free: the engine's own speed.

    Parameters
    ----------
    config : AcceleratorConfig
    transfers : iterable of dict
        Fields of each command.
    memory_latency : int
        Cycles from a request to its first beat.
    """
    last_beat = -1

    def finish(issue, beats):
        nonlocal last_beat
        last_beat = max(issue + LOAD_FIRST_REQUEST - _FIRST_ISSUE + memory_latency, last_beat + 1) + beats - 1
        return last_beat

    return [cycle + LOAD_RETIRE for cycle in _timeline(config, transfers, finish, LOAD_RELEASE)]


def store_retires(
    config: AcceleratorConfig, transfers: Iterable[dict[str, int]], *, memory_latency: int
) -> list[int]:
    """Cycles at which STOREs retire; as :func:`load_retires`.

    ``memory_latency`` is the number of cycles (at least 1) from the last beat of a burst to its response.
    """
    last_beat = response = -1

    def finish(issue, beats):
        nonlocal last_beat, response
        last_beat = max(issue + STORE_FIRST_BEAT - _FIRST_ISSUE, last_beat + 1) + beats - 1
        response = max(last_beat + memory_latency, response + 1)
        return response

    return [cycle + STORE_RETIRE for cycle in _timeline(config, transfers, finish, 0)]


def _timeline(config, transfers, finish, release):
    """Last cycle of the last burst of each transfer; ``finish(issue, beats)`` gives that of a burst.

    A burst makes room for another one ``release`` cycles after the one that follows its last.
    """
    slots = deque([-1] * config.outstanding_reads, maxlen=config.outstanding_reads)
    ends = []
    accept, taken_before, taken, issue = 0, -1, -1, -1
    for fields in transfers:
        step = accept + 1
        for memory, _ in transfer_runs(fields):
            # Two runs wait in registers until the splitter has issued the last burst of the run before.
            step = max(step + 1, taken_before + 1)
            taken_before, taken = taken, max(step + 1, issue)
            issue = max(issue, taken)
            for _, beats in run_bursts(config, memory, fields["length"]):
                issue = max(issue + 1, slots[0] + 1)
                slots.append(finish(issue, beats) + release)
        ends.append(slots[-1] - release)
        accept = step + 1
    return ends


def load_cycles(config: AcceleratorConfig, fields: dict[str, int], *, memory_latency: int) -> int:
    """Cycles from accepting a LOAD to its retire, engine idle before and activation bank free."""
    return load_retires(config, [fields], memory_latency=memory_latency)[0]


def store_cycles(config: AcceleratorConfig, fields: dict[str, int], *, memory_latency: int) -> int:
    """Cycles from accepting a STORE to its retire, engine idle before and activation bank free."""
    return store_retires(config, [fields], memory_latency=memory_latency)[0]
