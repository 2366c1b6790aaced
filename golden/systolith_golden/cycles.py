"""Cycle-level golden model: how many cycles a program takes, without simulating its data.

Fast enough to rank schedules (thousands of commands per second). The prediction rests on the same formulas as
the hardware (`systolith_spec.timing`) for what a command does on its own, and on a discrete-event simulation
of queues, tokens, the read channel and the banks of the activation buffer for what commands do to each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from systolith_spec.commands import Engine
from systolith_spec.config import AcceleratorConfig

from .cycle_serial import run_serial
from .cycle_simulation import CycleSimulation
from .cycle_work import CycleConstants, Workbook

__all__ = ["CycleConstants", "CyclePrediction", "predict"]


@dataclass(frozen=True, kw_only=True)
class CyclePrediction:
    """Predicted counters of a run; all times in clock cycles from the start strobe.

    Attributes
    ----------
    total : int
        Register CYCLES at the end.
    per_layer : dict of int to int
        Cycle in which the last command of each layer retires.
    per_layer_compute : dict of int to int
        Cycle in which the last COMPUTE command of each layer retires; layers without one are missing.
    busy, stall_token, stall_input : dict of str to int
        By engine name: cycles with work in flight; cycles a command waited for a token; cycles lost because a
        client of higher priority had the bank of the activation buffer.
    bytes_read, bytes_written : int
        Bytes of AXI beats, commands included.
    commands : int
        Commands dispatched, without END.
    """

    total: int
    per_layer: dict[int, int]
    per_layer_compute: dict[int, int]
    busy: dict[str, int]
    stall_token: dict[str, int]
    stall_input: dict[str, int]
    bytes_read: int
    bytes_written: int
    commands: int


def predict(
    config: AcceleratorConfig,
    commands: Iterable[bytes],
    memory_latency: int = 20,
    *,
    program_offset: int = 0,
    program_limit: int = 0,
    memory: bytes = b"",
    constants: CycleConstants | None = None,
) -> CyclePrediction:
    """Predict the run of a program.

    Parameters
    ----------
    config : AcceleratorConfig
    commands : iterable of bytes
        64-byte commands in stream order; END may be missing and ends the program.
    memory_latency : int
        Cycles from a read address to its first beat, and from the last write beat to the response.
    program_offset : int
        Memory offset of the first command; decides how bursts of commands are aligned.
    program_limit : int
        Memory offset from which on no commands are fetched, register WRITABLE or LIMIT; 0: none.
    memory : bytes
        Contents of main memory. With serial control the cycles of an output depend on its exponent; by default this is -7.
    constants : CycleConstants, optional

    Raises
    ------
    ValueError
        A command is none, or the program waits forever for a token.
    """
    if memory_latency < 0:
        raise ValueError(f"Memory latency must be at least 0, not {memory_latency!r}")
    if config.control == "serial":
        run = run_serial(config, commands, memory_latency, memory)
        stalls = {engine.name: 0 for engine in Engine}
        return CyclePrediction(
            total=run.total, per_layer=dict(sorted(run.per_layer.items())),
            per_layer_compute=dict(sorted(run.per_layer_compute.items())), busy=run.busy, stall_token=stalls,
            stall_input=dict(stalls), bytes_read=run.bytes_read, bytes_written=run.bytes_written, commands=run.commands)
    constants = constants or CycleConstants()
    works = Workbook(config, constants).program(commands)
    simulation = CycleSimulation(config, constants, works, memory_latency, program_offset, program_limit)
    total = simulation.run()

    def by_engine(attribute):
        return {engine.name: int(getattr(simulation.engines[engine], attribute)) for engine in Engine}

    return CyclePrediction(
        total=int(total),
        per_layer={layer: int(time) for layer, time in sorted(simulation.layer_end.items())},
        per_layer_compute={layer: int(time) for layer, time in sorted(simulation.compute_end.items())},
        busy=by_engine("busy"),
        stall_token=by_engine("stall_token"),
        stall_input=by_engine("stall_input"),
        bytes_read=simulation.channel.beats * config.axi_bytes,
        bytes_written=simulation.write_beats * config.axi_bytes,
        commands=simulation.fetch.dispatched,
    )
