"""Better places for everything in a placed design: wires get shorter, those on slow paths first of all."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from systolith_boards.placement.annealing import Layout, Weights, anneal, half_perimeters
from systolith_boards.placement.circuit import build_circuit, occupy, read_layout, write_layout
from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.lut_pins import LutPins
from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.replication import replicate_flipflops
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["adjust", "is_crowded", "refine", "score"]

_PASSES, _PASSES_WITH_COPIES, _PASSES_WITH_ROUTES = 150, 60, 8
_MOVES = 12  # in a pass, for each group
_HEAT, _COLD = 5.0, 0.001  # tiles, at the beginning and at the end
_WARM = 0.2  # of the heat, the reach and the growth of the power: where it begins again with copies
_COOL = 0.8  # of the passes; then only what gains is accepted
_REACH, _SHORTEST_REACH = 40, 3  # tiles, at the beginning and at the end
# Weight of a wire: its criticality to a power that grows, as in VPR (Marquardt, Betz, Rose, FPGA 2000).
_FIRST_POWER, _LAST_POWER = 1.0, 8.0
# A wire whose cell drives many weighs as much as they do, up to so many times its own weight: moved towards its driver, the
# cell makes all of them longer by what this one gets shorter, and no path. Not where the chip is crowded: what belongs together
# gets so close then that routing does not come to an end.
_BRANCHES, _CROWDED = 4.0, 0.45
_CRITICAL = 0.8  # of the longest path: wires on such paths show where to move
# Of the inputs of LUTs in a pass: what is critical changes with them. None where the chip is crowded: there all would like
# the same input, and routing takes several times as long.
_ORDERINGS = 2
_RESERVE = 0.1  # of the longest path: slack that a wire must keep; half of the rest may be used up in a pass


def refine(design: PackedDesign, sdf: Path, device: str, seed: int,
           report: Callable[[float], None] = lambda done: None) -> tuple[float, float]:
    """Find better places by annealing driven by timing.

    The cost is the sum of the nets' half perimeters and, of the same size, the sum of the delays of all wires, weighted by how
    critical they are; that is looked up again before each pass. Everything moves but pins and clock buffers: LUTs,
    flip-flops, carry chains, distributed RAM, block RAMs and multipliers. The inputs of LUTs are exchanged meanwhile where
    there is room.

    Parameters
    ----------
    design : PackedDesign
        Gets the new places.
    sdf : Path
        Delays of its cells.
    device : str
        Key of :data:`~systolith_boards.placement.block_sites.BLOCK_COLUMNS`.
    seed : int
    report : callable
        Called with the fraction done.

    Returns
    -------
    before, after : float
        Longest path by the model of delays, ps.
    """
    by_pins = not is_crowded(LogicTiles(design))
    model = TimingModel(design, sdf, by_pins=by_pins)
    before = model.analyse()[1].max()
    share = _PASSES / (_PASSES + _PASSES_WITH_COPIES)
    annealing = _Annealing(design, model, device, seed)
    after = annealing.run(_PASSES, 1.0, lambda done: report(done * share))
    if replicate_flipflops(design, model, LogicTiles(design)):
        annealing = _Annealing(design, TimingModel(design, sdf, by_pins=by_pins), device, seed)
        after = annealing.run(_PASSES_WITH_COPIES, _WARM, lambda done: report(share + done * (1 - share)))
    annealing.pins.write()
    return before, after


def adjust(design: PackedDesign, sdf: Path, device: str, seed: int, delays: np.ndarray) -> None:
    """Move what is on slow paths a little, with wires that take as long as they do after routing.

    Parameters
    ----------
    design, sdf, device, seed
        As for :func:`refine`.
    delays : ndarray of float, shape (wires,)
        Of the wires of a :class:`TimingModel` of the design as it is, ps; what differs from the model stays with the wire.
    """
    model = TimingModel(design, sdf)
    model.base += np.where(model.fixed < 0, delays - model.wire_delays(), 0.0)
    annealing = _Annealing(design, model, device, seed)
    annealing.run(_PASSES_WITH_ROUTES, 0.0, lambda done: None)
    annealing.pins.write()


def score(arrivals: np.ndarray) -> float:
    """Return a number that is lower for the better design: its longest path, ps, and a little for those nearly as long."""
    longest = arrivals.max()
    return longest + np.maximum(arrivals - 0.9 * longest, 0).sum() / 1000


def is_crowded(tiles: LogicTiles) -> bool:
    """Tell whether a chip is so full that what belongs together should not be brought closer."""
    return tiles.fill > _CROWDED


class _Annealing:
    def __init__(self, design, model, device, seed):
        self._design, self._model, self._device, self._seed = design, model, device, seed
        self.pins = LutPins(design, model)
        tiles = LogicTiles(design)
        self._branches = 1.0 if is_crowded(tiles) else _BRANCHES
        self._orderings = _ORDERINGS if model.by_pins else 0
        self._circuit = build_circuit(design, tiles, model, device)
        self._layout = read_layout(design, device)
        self._occupation = occupy(self._circuit, self._layout, tiles)
        self._groups = np.arange(len(self._circuit.loose), dtype=np.int32)

    def run(self, passes, warmth, report):
        """Make the passes, the first as warm as said; give the design the best places; return their longest path, ps."""
        best, best_score = None, math.inf
        for number in range(passes + 1):
            slack, longest, arrivals = self._analyse(self._layout)
            if number >= _COOL * passes and score(arrivals) < best_score:
                best, best_score = [column.copy() for column in self._layout], score(arrivals)
            if number < passes:
                report(number / passes)
                self._pass(number, warmth * max(0.0, 1 - number / (_COOL * passes)), slack, longest)
        write_layout(self._design, self._circuit, Layout(*best), self._device)
        return self._analyse(Layout(*best))[1]

    def _analyse(self, layout):
        """Slack of all wires, longest path and arrivals, with the inputs of LUTs as they are best."""
        for _ in range(self._orderings):
            self.pins.assign(self._model.analyse(layout)[0])
        slack, arrivals = self._model.analyse(layout)
        return slack, arrivals.max(), arrivals

    def _pass(self, number, warmth, slack, longest):
        power = _LAST_POWER - (_LAST_POWER - _FIRST_POWER) * warmth
        delays = self._model.wire_delays(self._layout)
        weight = np.clip(1 - slack / longest, 0, 1) ** power
        weight *= np.minimum(self._model.branching(weight), self._branches)
        scale = half_perimeters(self._circuit, self._layout).sum() / (weight * delays).sum()
        spare = np.maximum(slack - _RESERVE * longest, 0) / 2
        weights = Weights(weight * scale, delays + spare, scale, _CRITICAL**power * scale)
        anneal(self._circuit, self._layout, self._occupation, self._groups, _MOVES * len(self._groups),
               _HEAT * warmth**2 + _COLD, max(_SHORTEST_REACH, int(_REACH * warmth)), weights, self._seed * _PASSES + number)
