"""Moves the logic on slow paths of a placed design to better places."""

import math
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from systolith_boards.placement.logic_groups import LogicGroups
from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.replication import replicate_flipflops
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["refine"]

_PASSES = 100
_COOL = 0.8  # of the passes; then only what gains is accepted
_HEAT = 80.0  # ps
_CRITICAL = 0.75  # of the longest path: groups on such paths move
_POWER = 16  # weight of a wire: criticality to this power, as in VPR (Marquardt, Betz, Rose, FPGA 2000), which has 8
_SHORT = 0.002  # weight of any wire of a net with few sinks
_FEW_SINKS = 16
_RESERVE = 0.1  # of the longest path: slack that a wire must keep; half of the rest may be used up at once
_TRIALS = 24
_GAIN = 0.001  # of the cost: less is not worth a move


def refine(design: PackedDesign, sdf: Path, seed: int,
           report: Callable[[float], None] = lambda done: None) -> tuple[float, float]:
    """Shorten the slowest paths of a placed design.

    nextpnr's static placer cares for the sum of all wires; what then limits the clock are a few long ones on paths with much
    logic. Passes of a timing-driven annealing: each looks up how critical all wires are, and moves the groups on slow
    paths, one by one, where their critical wires get shorter and no other gets too long.

    Parameters
    ----------
    design : PackedDesign
        Gets the new places.
    sdf : Path
        Delays of its cells.
    seed : int
    report : callable
        Called with the fraction done.

    Returns
    -------
    before, after : float
        Longest path by the model of delays, ps.
    """
    tiles = LogicTiles(design)
    model = TimingModel(design, sdf)
    before = model.analyse()[1].max()
    if replicate_flipflops(design, model, tiles):
        model = TimingModel(design, sdf)
    return before, _Refinement(design, model, tiles, seed).run(report)


class _Refinement:
    def __init__(self, design, model, tiles, seed):
        self._design, self._model, self._tiles = design, model, tiles
        self._random = random.Random(seed)
        self._groups = LogicGroups(design, tiles)
        self._short = np.where(model.fanout <= _FEW_SINKS, _SHORT, 0.0)
        self._wires = defaultdict(list)  # of each group: wire, its cell of the group, the cell at the other end
        self._ends = [(self._groups.group.get(driver), self._groups.group.get(sink))
                      for driver, sink in zip(model.drivers.tolist(), model.sinks.tolist())]
        for wire, (driver, sink) in enumerate(zip(model.drivers.tolist(), model.sinks.tolist())):
            first, second = self._ends[wire]
            if first == second:
                continue
            if first is not None:
                self._wires[first].append((wire, driver, sink))
            if second is not None:
                self._wires[second].append((wire, sink, driver))

    def run(self, report):
        """Make all passes; keep the best places; return the longest path, ps."""
        best = (math.inf, 0.0, [])
        for number in range(_PASSES + 1):
            slack, arrivals = self._model.analyse()
            longest = arrivals.max()
            score = longest + np.maximum(arrivals - 0.9 * longest, 0).sum() / 1000
            if score < best[0]:
                best = (score, longest, self._places())
            if number < _PASSES:
                report(number / _PASSES)
                self._pass(slack, longest, _HEAT * max(0.0, 1 - number / (_COOL * _PASSES)) ** 2)
        self._restore(best[2])
        return best[1]

    def _places(self):
        design = self._design
        return [(cell, design.x[cell], design.y[cell], design.slot[cell]) for cell in self._groups.group]

    def _restore(self, places):
        for cell, *_ in places:
            self._tiles.take(cell)
        for cell, x, y, slot in places:
            self._design.place(cell, x, y, slot)
            self._tiles.put(cell)

    def _pass(self, slack, longest, heat):
        criticality = np.clip(1 - slack / longest, 0, 1)
        self._criticality, self._heat = criticality.tolist(), heat
        self._weight = (criticality**_POWER + self._short).tolist()
        spare = np.maximum(slack - _RESERVE * longest, 0) / 2
        self._limit = (self._model.wire_delays() + spare).tolist()
        worst = defaultdict(float)
        for wire in np.nonzero(criticality > _CRITICAL)[0].tolist():
            for group in self._ends[wire]:
                if group is not None:
                    worst[group] = max(worst[group], self._criticality[wire])
        for group in sorted(worst, key=lambda group: (-worst[group], group)):
            self._move(group)

    def _cost(self, group, dx, dy):
        """Weighted delay of the wires of a group so many columns and rows from where it is, ps."""
        x, y, weight, limit, delay_of = self._design.x, self._design.y, self._weight, self._limit, self._model.delay
        cost = 0.0
        for wire, cell, other in self._wires[group]:
            delay = delay_of(wire, x[cell] + dx - x[other], y[cell] + dy - y[other])
            cost += weight[wire] * delay
            if delay > limit[wire]:
                cost += delay - limit[wire]
        return cost

    def _move(self, group):
        """Move a group to the best of some places tried."""
        offsets = self._offsets(group)
        here = self._cost(group, 0, 0) * (1 - _GAIN)
        options = sorted((self._cost(group, *offset), *offset) for offset in offsets)
        members, design, tiles = self._groups.members[group], self._design, self._tiles
        places = [(design.x[cell], design.y[cell], design.slot[cell]) for cell in members]
        for cell in members:
            tiles.take(cell)
        for cost, dx, dy in options:
            if cost >= here - self._heat * math.log(1 - self._random.random()):
                break
            if self._settle(group, members, [(x + dx, y + dy, slot) for x, y, slot in places]):
                return
        for cell, place in zip(members, places):
            design.place(cell, *place)
            tiles.put(cell)

    def _offsets(self, group):
        """Where to try: on the way to the middle of the other ends of its critical wires, and around."""
        x, y, draw = self._design.x, self._design.y, self._random
        total = to_x = to_y = 0.0
        for wire, cell, other in self._wires[group]:
            if self._criticality[wire] > _CRITICAL and self._model.fixed[wire] < 0:
                weight = self._weight[wire]
                total += weight
                to_x += weight * (x[other] - x[cell])
                to_y += weight * (y[other] - y[cell])
        offsets = set()
        for trial in range(_TRIALS if total else 0):
            if trial % 3 == 2:
                offsets.add((draw.randint(-3, 3), draw.randint(-3, 3)))
            else:
                part, reach = math.sqrt(draw.random()) / total, 1 + trial // 6
                offsets.add(tuple(round(way * part) + draw.randint(-reach, reach) for way in (to_x, to_y)))
        return sorted(offsets)

    def _settle(self, group, members, places):
        """Put a group, of which no cell has a place, there if that is legal; tell whether it was."""
        tiles = self._tiles
        if not all(tiles.exists(place[:2]) for place in places):
            return False
        kept = [slot for _, _, slot in places]
        for choice in ([slot] * len(places) for slot in range(8)) if self._groups.any_slot(group) else [kept]:
            spots = [(x, y, slot) for (x, y, _), slot in zip(places, choice)]
            if not all(tiles.free(cell, spot[:2], spot[2]) for cell, spot in zip(members, spots)):
                continue
            for cell, spot in zip(members, spots):
                self._design.place(cell, *spot)
                tiles.put(cell)
            if all(tiles.legal(tile) for tile in {spot[:2] for spot in spots}):
                return True
            for cell in members:
                tiles.take(cell)
        return False
