"""Copies of flip-flops for sinks that are far apart."""

import numpy as np

from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.packed_design import FF, PackedDesign
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["replicate_flipflops"]

_CRITICAL = 0.3  # of the longest path: less slack is worth a copy
_NEAR = 16  # tiles from a flip-flop to the sinks it should have
_MOST_COPIES = 6
_DATA = {"A", "B", "C", "D", "M"}  # of a LUT or flip-flop; enables and resets are shared in slices and tiles, and stay so
_SEARCH = 6  # tiles around the wanted place


def replicate_flipflops(design: PackedDesign, model: TimingModel, tiles: LogicTiles) -> int:
    """Give far sinks of a flip-flop on a slow path a copy of it in their midst.

    yosys merges registers that always hold the same, such as the delayed control bits of all vector lanes, wherever their sinks
    end up. A copy has the same inputs, so nothing changes but the wires: the long one leads to it, if there is time for that.

    Parameters
    ----------
    design : PackedDesign
        Gets the copies.
    model : TimingModel
        Of the design before; not of use afterwards.
    tiles : LogicTiles

    Returns
    -------
    int
        Copies made.
    """
    slack, arrivals = model.analyse()
    nets = {driver: net for net, (driver, port) in design.drivers.items() if design.types[driver] == FF}
    far = np.abs(np.array(design.x)[model.drivers] - np.array(design.x)[model.sinks]) + np.abs(
        np.array(design.y)[model.drivers] - np.array(design.y)[model.sinks]) > _NEAR
    wanted = np.nonzero((slack < _CRITICAL * arrivals.max()) & far)[0]
    copies = 0
    for cell in sorted({int(model.drivers[wire]) for wire in wanted} & set(nets)):
        for sinks in _clusters(design, cell, nets[cell]):
            place = _free_place(design, tiles, cell, sinks)
            if place is None or not _in_time(design, model, slack, cell, place):
                continue
            tiles.add(design.copy(cell, sinks, *place))
            copies += 1
    return copies


def _clusters(design, cell, net):
    """Sinks too far from the flip-flop, in groups around the one that is farthest."""
    left = [sink for sink in design.sinks[net] if sink[1] in _DATA and _distance(design, cell, sink[0]) > _NEAR]
    clusters = []
    while left and len(clusters) < _MOST_COPIES:
        centre = max(left, key=lambda sink: (_distance(design, cell, sink[0]), sink))
        near = [sink for sink in left if _distance(design, centre[0], sink[0]) <= _NEAR]
        clusters.append(near)
        left = [sink for sink in left if sink not in near]
    return clusters


def _distance(design, first, second):
    return abs(design.x[first] - design.x[second]) + abs(design.y[first] - design.y[second])


def _free_place(design, tiles, cell, sinks):
    """Place for a copy of the flip-flop in the middle of the sinks: tile and slot, the nearest that is legal."""
    middle_x, middle_y = (round(sum(column[sink] for sink, _ in sinks) / len(sinks)) for column in (design.x, design.y))
    around = sorted((abs(dx) + abs(dy), dx, dy) for dx in range(-_SEARCH, _SEARCH + 1) for dy in range(-_SEARCH, _SEARCH + 1))
    for _, dx, dy in around:
        tile = (middle_x + dx, middle_y + dy)
        if not tiles.exists(tile):
            continue
        for slot in range(8):
            if tiles.admits_copy(cell, tile, slot):
                return *tile, slot
    return None


def _in_time(design, model, slack, cell, place):
    """Tell whether the input of the flip-flop leaves time for the way to the place."""
    port = "DI" if design.net(cell, "DI") is not None else "M"
    wire = model.wire.get((cell, port))
    if wire is None:
        return False
    driver = model.drivers[wire]
    way = model.distance_delay(design.x[driver] - place[0], design.y[driver] - place[1])
    return slack[wire] > way - model.distance_delay(design.x[driver] - design.x[cell], design.y[driver] - design.y[cell])
