"""Where the cycles of a program go: for every layer, what its multipliers did and what kept them from useful work.

The unit is one multiplier in one cycle, so everything adds up to cycles x rows x cols. Cycles in which vectors enter
the array belong to the layer of their COMPUTE command. Cycles in which none do are lost to what the next COMPUTE
command waits for; waiting for the vector unit is charged to the layer whose results are awaited.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from systolith_spec.commands import Engine, Space
from systolith_spec.config import AcceleratorConfig

from .timeline import CommandTimes, timeline

__all__ = ["LOSSES", "LayerExplanation", "explain"]

LOSSES = {
    "empty": "array rows and columns without weights",
    "short_tiles": "tiles of fewer vectors than the array has rows",
    "weights": "waiting for weights from memory",
    "input": "waiting for activations from memory",
    "vector": "waiting for the vector unit",
    "banks": "bank of the activation buffer taken by another engine",
    "commands": "waiting for commands or for a LOAD of parameters",
    "fill_drain": "filling and draining the pipelines",
}


@dataclass
class LayerExplanation:
    """One layer.

    Attributes
    ----------
    layer : int
    cycles : int
    macs : int
        Useful multiplications.
    losses : dict of str to int
        Multipliers x cycles by the keys of `LOSSES`; with `macs` they add up to cycles x rows x cols.
    needs : dict of str to int
        Cycles that each resource needs at least: "MAC" (vectors that enter the array), "weight bytes",
        "activation bytes", "vector unit".
    """

    layer: int
    cycles: int = 0
    macs: int = 0
    losses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOSSES, 0))
    needs: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("MAC", "weight bytes", "activation bytes", "vector unit"), 0))

    @property
    def bound(self) -> str:
        """Resource that sets the pace: the one that needs most cycles; "fill/drain" when none needs half of them."""
        name = max(self.needs, key=lambda key: self.needs[key])
        return name if 2 * self.needs[name] >= self.cycles else "fill/drain"


def explain(config: AcceleratorConfig, commands: Iterable[bytes], macs: Mapping[int, int], memory_latency: int = 20, *,
            program_offset: int = 0, program_limit: int = 0) -> list[LayerExplanation]:
    """Explain the cycles of a program, layer by layer.

    Parameters
    ----------
    config : AcceleratorConfig
    commands : iterable of bytes
    macs : mapping of int to int
        Useful multiplications of each layer.
    memory_latency, program_offset, program_limit : int
        As for `cycles.predict`.
    """
    times, total = timeline(config, commands, memory_latency, program_offset=program_offset,
                            program_limit=program_limit)
    layers = {number: LayerExplanation(number) for number in sorted({entry.work.layer for entry in times})}
    elements = config.processing_elements
    for entry in times:
        _add_needs(layers[entry.work.layer], entry)
    share = _share_serial if config.control == "serial" else _share
    share(times, total, layers, elements)
    for number, layer in layers.items():
        layer.macs = macs.get(number, 0)
        layer.losses["empty"] -= layer.macs
    return list(layers.values())


def _share(times, total, layers, elements):
    """Give each cycle to a layer and, for each multiplier, to a loss; useful multiplications are in "empty" still."""
    last = 0.0
    for entry in times:
        if entry.work.engine != Engine.COMPUTE:
            continue
        for cause, layer, cycles in _gap(entry, last):
            layers[layer].cycles += cycles
            layers[layer].losses[cause] += cycles * elements
        layer, stream = layers[entry.work.layer], entry.work.stream
        short = round(stream * (1 - min(entry.work.demand, 1.0)) * elements)
        stalled = int(entry.end - entry.begin) - stream
        layer.cycles += stream + stalled
        layer.losses["banks"] += stalled * elements
        layer.losses["short_tiles"] += short
        layer.losses["empty"] += stream * elements - short
        last = entry.end
    if layers:
        final = layers[max(layers)]
        final.cycles += total - int(last)
        final.losses["fill_drain"] += (total - int(last)) * elements


def _share_serial(times, total, layers, elements):
    """The same for serial control, where the multipliers wait for each command but COMPUTE from its fetch to its end."""
    causes = {Space.WEIGHT: "weights", Space.ACTIVATION: "input"}
    for entry in times:
        layer, cycles = layers[entry.work.layer], int(entry.end - entry.begin)
        layer.cycles += cycles
        if entry.work.engine == Engine.COMPUTE:
            stream = round(entry.work.stream * min(entry.work.demand, 1.0))
            layer.losses["empty"] += stream * elements
            layer.losses["fill_drain"] += (cycles - stream) * elements
        elif entry.work.engine == Engine.VECTOR and not entry.work.params:
            layer.losses["vector"] += cycles * elements
        else:
            cause = "input" if entry.work.engine == Engine.STORE else causes.get(entry.space, "commands")
            layer.losses[cause] += cycles * elements
    if times:
        final, rest = layers[max(layers)], total - int(times[-1].end)
        final.cycles += rest
        final.losses["commands"] += rest * elements


def _add_needs(layer: LayerExplanation, entry: CommandTimes) -> None:
    work = entry.work
    if work.engine == Engine.COMPUTE:
        layer.needs["MAC"] += round(work.stream * min(work.demand, 1.0))
    elif work.engine == Engine.VECTOR and not work.params:
        layer.needs["vector unit"] += work.stream
    elif entry.space == Space.WEIGHT:
        layer.needs["weight bytes"] += sum(work.bursts)
    elif entry.space == Space.ACTIVATION or work.engine == Engine.STORE:
        layer.needs["activation bytes"] += sum(work.bursts)


def _gap(entry: CommandTimes, last: float) -> list[tuple[str, int, int]]:
    """Causes of the time between the end of the stream before and the begin of this one, with layers and cycles."""
    layer = entry.work.layer
    points = [last, min(max(entry.ready, last), entry.begin), min(max(entry.offered, last), entry.begin), entry.begin]
    late, waited, started = (int(stop) - int(start) for start, stop in zip(points, points[1:], strict=False))
    cause, culprit = "commands", layer
    if entry.giver is not None:
        if entry.giver.work.engine == Engine.VECTOR:
            cause, culprit = "vector", entry.giver.work.layer
        elif entry.giver.space is not None:
            cause = {Space.WEIGHT: "weights", Space.ACTIVATION: "input"}.get(entry.giver.space, "commands")
    return [("commands", layer, late), (cause, culprit, waited), ("fill_drain", layer, started)]
