"""Simulated annealing of the logic of a placed design: shorter wires, those of slow paths most of all."""

import math
from collections import namedtuple

import numpy as np
from numba import njit

from systolith_boards.placement.logic_tiles import SLOTS

__all__ = [
    "BLOCK", "FLIPFLOP", "FOLLOWER", "LUT", "Circuit", "Layout", "Occupation", "Weights", "anneal", "half_perimeters",
    "is_legal",
]

LUT, FLIPFLOP, BLOCK, FOLLOWER = 0, 1, 2, 3
"""Kinds of cells that move. A follower has no place of its own: the write port of a distributed RAM."""

Circuit = namedtuple("Circuit", (
    "kind",  # of a cell: LUT, FLIPFLOP, BLOCK, FOLLOWER or -1 for all others
    "group", "loose",  # of a cell or -1; whether a group is one slot, and may have any
    "first_member", "member",  # cells of group g: member[first_member[g]:first_member[g + 1]]
    "carry", "stores", "uses_m", "enable", "control", "plain_control",  # of a cell: see LogicTiles
    "first_net", "net_of",  # nets of a cell, each once
    "first_pin", "pin",  # cells of a net, each once
    "first_wire", "wire_of",  # wires of a cell, as driver or sink
    "driver", "sink", "fixed", "base",  # of a wire: see TimingModel
    "distance",  # delay of a wire by columns and rows, ps
    "site_x", "site_y", "site_group",  # of a site for a block; the sites of a group share control signals
    "first_site", "site_count", "signals",  # of a block: its sites are a range; which control signals it has
))
"""What does not change: cells, nets, wires and the rules for them."""

Layout = namedtuple("Layout", ("x", "y", "slot"))
"""Place of each cell; the slot of a block is its site, that of cells elsewhere -1."""

Occupation = namedtuple("Occupation", ("cells", "exists", "blocks"))
"""Cells by row, column, slot and kind, -1 where there is none; tiles with logic; blocks by site, -1 where there is none."""

Weights = namedtuple("Weights", ("weight", "limit", "excess", "threshold"))
"""What a wire costs: for each ps; how much more (``excess``) from which delay on (``limit``), tiles per ps. From which weight
on a wire is critical: the other ends of such wires show where to move."""

_Costs = namedtuple("_Costs", (
    "length", "cost",  # of each net and wire, now
    "new_length", "new_cost",  # of those that a move changes, if it is made,
    "nets", "wires",  # which are these,
    "net_stamp", "wire_stamp",  # by the number of the move that each was seen in last
))
_MOST_MOVED = 512  # cells in one move
_CLOSE = 2  # tiles between cells of a cluster
_MOST_GROUPS = 6  # in a cluster
_BLOCK_REACH = (18, 24)  # columns and rows to the neighbours of any site for a block
_DRAWS = 30


@njit(cache=True)
def is_legal(circuit, cells, y, x):
    """Tell whether what is in a tile may be there together, see `LogicTiles.legal`."""
    tile = cells[y, x]
    control, stores = -1, False
    for slot in range(SLOTS):
        lut, flipflop = tile[slot, LUT], tile[slot, FLIPFLOP]
        if lut >= 0 and circuit.stores[lut]:
            stores = True
        if flipflop >= 0:
            if control >= 0 and control != circuit.control[flipflop]:
                return False
            control = circuit.control[flipflop]
            if lut >= 0 and circuit.uses_m[lut] and circuit.uses_m[flipflop]:
                return False
        if slot % 2:
            left, right = tile[slot - 1, LUT], tile[slot, LUT]
            if left >= 0 and right >= 0 and circuit.carry[left] != circuit.carry[right]:
                return False
            left, right = tile[slot - 1, FLIPFLOP], tile[slot, FLIPFLOP]
            if left >= 0 and right >= 0 and circuit.enable[left] != circuit.enable[right]:
                return False
    return not stores or control < 0 or circuit.plain_control[control]


@njit(cache=True)
def _half_perimeter(circuit, layout, net):
    low_x = low_y = 1 << 20
    high_x = high_y = -1
    for index in range(circuit.first_pin[net], circuit.first_pin[net + 1]):
        cell = circuit.pin[index]
        x, y = layout.x[cell], layout.y[cell]
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
    return high_x - low_x + high_y - low_y


@njit(cache=True)
def half_perimeters(circuit, layout):
    """Return the half perimeter of each net, tiles."""
    lengths = np.empty(circuit.first_pin.size - 1, dtype=np.int32)
    for net in range(lengths.size):
        lengths[net] = _half_perimeter(circuit, layout, net)
    return lengths


@njit(cache=True)
def _wire_cost(circuit, layout, wire, weights):
    delay = circuit.fixed[wire]
    if delay < 0:
        driver, sink = circuit.driver[wire], circuit.sink[wire]
        delay = circuit.base[wire] + circuit.distance[abs(layout.x[driver] - layout.x[sink]),
                                                      abs(layout.y[driver] - layout.y[sink])]
    return weights.weight[wire] * delay + weights.excess * max(delay - weights.limit[wire], 0.0)


@njit(cache=True)
def _plan(circuit, layout, occupation, group, dx, dy, slot, moved, target, count):
    """Find the cells that change places when a group goes elsewhere, and where to; return how many, 0 if that is impossible.

    Whatever is where the group goes takes its place: it must be movable by itself, with what belongs to it in the same slot.
    """
    cells = occupation.cells
    for index in range(circuit.first_member[group], circuit.first_member[group + 1]):
        cell = circuit.member[index]
        x, y, here = layout.x[cell], layout.y[cell], layout.slot[cell]
        to_x, to_y = x + dx, y + dy
        there = here if slot < 0 else slot
        if to_x < 0 or to_y < 0 or to_y >= cells.shape[0] or to_x >= cells.shape[1] or not occupation.exists[to_y, to_x]:
            return 0
        if count + 4 > _MOST_MOVED:
            return 0
        kind = circuit.kind[cell]
        if kind == FOLLOWER:
            moved[count] = cell
            target[count, 0], target[count, 1], target[count, 2] = to_x, to_y, here
            count += 1
            continue
        other_kind = 1 - kind
        partner = cells[y, x, here, other_kind]  # in the same slot, of this group, another, or none
        displaced = cells[to_y, to_x, there, kind]
        beside = cells[to_y, to_x, there, other_kind]
        with_partner = partner >= 0 and circuit.group[partner] == group
        both = with_partner
        if displaced >= 0:
            owner = circuit.group[displaced]
            if owner < 0 or not circuit.loose[owner]:
                return 0
            if beside >= 0 and circuit.group[beside] == owner:
                both = True
        moved[count] = cell
        target[count, 0], target[count, 1], target[count, 2] = to_x, to_y, there
        count += 1
        if displaced >= 0:
            moved[count] = displaced
            target[count, 0], target[count, 1], target[count, 2] = x, y, here
            count += 1
        if both and not with_partner:
            # The displaced takes its other half along, for which whatever is beside this cell makes room.
            if partner >= 0:
                owner = circuit.group[partner]
                if owner < 0 or not circuit.loose[owner]:
                    return 0
                moved[count] = partner
                target[count, 0], target[count, 1], target[count, 2] = to_x, to_y, there
                count += 1
            moved[count] = beside
            target[count, 0], target[count, 1], target[count, 2] = x, y, here
            count += 1
    return count


@njit(cache=True)
def _plan_block(circuit, layout, occupation, cell, site, moved, target):
    """The same for a block that goes to a site; the signals of a group of multipliers stay as they are."""
    here, other = layout.slot[cell], occupation.blocks[site]
    if here == site:
        return 0
    if other >= 0:
        if circuit.signals[other] != circuit.signals[cell]:
            return 0
    elif circuit.site_group[site] >= 0:
        first = circuit.first_site[cell]
        for near in range(first, first + circuit.site_count[cell]):
            neighbour = occupation.blocks[near]
            if (neighbour >= 0 and circuit.site_group[near] == circuit.site_group[site]
                    and circuit.signals[neighbour] != circuit.signals[cell]):
                return 0
    moved[0] = cell
    target[0, 0], target[0, 1], target[0, 2] = circuit.site_x[site], circuit.site_y[site], site
    if other < 0:
        return 1
    moved[1] = other
    target[1, 0], target[1, 1], target[1, 2] = layout.x[cell], layout.y[cell], here
    return 2


@njit(cache=True)
def _has_conflict(moved, count, stamp, mark):
    """Tell whether a cell would go to two places."""
    for index in range(count):
        cell = moved[index]
        if stamp[cell] == mark:
            return True
        stamp[cell] = mark
    return False


@njit(cache=True)
def _exchange(circuit, layout, occupation, moved, target, count):
    """Put the moved cells to their targets; ``target`` then holds where they were.

    Returns whether each got a place of its own: two groups of a cluster may both make use of a place that is free. Done twice,
    everything is as before.
    """
    free = True
    for index in range(count):
        cell = moved[index]
        if circuit.kind[cell] == BLOCK:
            occupation.blocks[layout.slot[cell]] = -1
        elif circuit.kind[cell] != FOLLOWER:
            occupation.cells[layout.y[cell], layout.x[cell], layout.slot[cell], circuit.kind[cell]] = -1
    for index in range(count):
        cell = moved[index]
        x, y, slot = target[index, 0], target[index, 1], target[index, 2]
        target[index, 0], target[index, 1], target[index, 2] = layout.x[cell], layout.y[cell], layout.slot[cell]
        layout.x[cell], layout.y[cell], layout.slot[cell] = x, y, slot
        if circuit.kind[cell] == BLOCK:
            free = free and occupation.blocks[slot] < 0
            occupation.blocks[slot] = cell
        elif circuit.kind[cell] != FOLLOWER:
            free = free and occupation.cells[y, x, slot, circuit.kind[cell]] < 0
            occupation.cells[y, x, slot, circuit.kind[cell]] = cell
    return free


@njit(cache=True)
def _all_legal(circuit, layout, occupation, moved, target, count):
    last = -1
    for index in range(count):
        cell = moved[index]
        here = layout.y[cell] * 1024 + layout.x[cell]
        if here != last:
            if not is_legal(circuit, occupation.cells, layout.y[cell], layout.x[cell]):
                return False
            last = here
    last = -1
    for index in range(count):
        here = target[index, 1] * 1024 + target[index, 0]
        if here != last:
            if not is_legal(circuit, occupation.cells, target[index, 1], target[index, 0]):
                return False
            last = here
    return True


@njit(cache=True)
def _plan_cluster(circuit, layout, occupation, group, dx, dy, weight, threshold, moved, target, cluster):
    """The same for a group and those that short critical wires join it to."""
    cluster[0], size, done, count = group, 1, 0, 0
    while done < size:
        member = cluster[done]
        done += 1
        count = _plan(circuit, layout, occupation, member, dx, dy, -1, moved, target, count)
        if count == 0:
            return 0
        for index in range(circuit.first_member[member], circuit.first_member[member + 1]):
            cell = circuit.member[index]
            for at in range(circuit.first_wire[cell], circuit.first_wire[cell + 1]):
                wire = circuit.wire_of[at]
                if weight[wire] <= threshold or circuit.fixed[wire] >= 0 or size >= cluster.size:
                    continue
                other = circuit.sink[wire] if circuit.driver[wire] == cell else circuit.driver[wire]
                near = circuit.group[other]
                if (near < 0 or circuit.kind[other] == BLOCK or abs(layout.x[other] - layout.x[cell]) > _CLOSE
                        or abs(layout.y[other] - layout.y[cell]) > _CLOSE):
                    continue
                known = False
                for place in range(size):
                    known = known or cluster[place] == near
                if not known:
                    cluster[size] = near
                    size += 1
    return count


@njit(cache=True)
def _pull(circuit, layout, group, weight, threshold):
    """Where the critical wires of a group would have it: offset of columns and rows, and whether there are any."""
    total = to_x = to_y = 0.0
    for index in range(circuit.first_member[group], circuit.first_member[group + 1]):
        cell = circuit.member[index]
        for at in range(circuit.first_wire[cell], circuit.first_wire[cell + 1]):
            wire = circuit.wire_of[at]
            if weight[wire] > threshold and circuit.fixed[wire] < 0:
                other = circuit.sink[wire] if circuit.driver[wire] == cell else circuit.driver[wire]
                if circuit.group[other] != group:
                    total += weight[wire]
                    to_x += weight[wire] * (layout.x[other] - layout.x[cell])
                    to_y += weight[wire] * (layout.y[other] - layout.y[cell])
    if total == 0.0:
        return False, 0.0, 0.0
    return True, to_x / total, to_y / total


@njit(cache=True)
def _draw_site(circuit, layout, cell, reach):
    """Draw a site for a block that is in reach, or at least in the same or the next row of such sites."""
    reach_x, reach_y = max(reach, _BLOCK_REACH[0]), max(reach, _BLOCK_REACH[1])
    site = 0
    for _ in range(_DRAWS):
        site = circuit.first_site[cell] + np.random.randint(circuit.site_count[cell])
        if abs(circuit.site_x[site] - layout.x[cell]) <= reach_x and abs(circuit.site_y[site] - layout.y[cell]) <= reach_y:
            break
    return site


@njit(cache=True)
def _plan_move(circuit, layout, occupation, group, number, reach, weights, moved, target, cluster):
    """Draw a move of a group; return how many cells it moves, 0 if it is not possible."""
    first = circuit.member[circuit.first_member[group]]
    is_block = circuit.kind[first] == BLOCK
    slot = np.random.randint(SLOTS) if circuit.loose[group] else -1
    dx, dy = np.random.randint(-reach, reach + 1), np.random.randint(-reach, reach + 1)
    pulled = False
    if number % 2 and not is_block:
        pulled, to_x, to_y = _pull(circuit, layout, group, weights.weight, weights.threshold)
        if pulled:
            part = np.random.random() ** 0.5
            dx = int(round(to_x * part)) + np.random.randint(-2, 3)
            dy = int(round(to_y * part)) + np.random.randint(-2, 3)
    if number % 4 == 1 and pulled:
        size = 2 + np.random.randint(_MOST_GROUPS - 1)
        return _plan_cluster(
            circuit, layout, occupation, group, dx, dy, weights.weight, weights.threshold, moved, target, cluster[:size])
    if is_block:
        site = _draw_site(circuit, layout, first, reach)
        return _plan_block(circuit, layout, occupation, first, site, moved, target)
    if dx == 0 and dy == 0 and slot < 0:
        return 0
    return _plan(circuit, layout, occupation, group, dx, dy, slot, moved, target, 0)


@njit(cache=True)
def _measure(circuit, layout, moved, count, number, weights, costs):
    """Measure the nets and wires of the moved cells; return how much the cost grows, and how many nets and wires it was."""
    growth, nets, wires = 0.0, 0, 0
    for index in range(count):
        cell = moved[index]
        for at in range(circuit.first_net[cell], circuit.first_net[cell + 1]):
            net = circuit.net_of[at]
            if costs.net_stamp[net] != number:
                costs.net_stamp[net] = number
                costs.nets[nets] = net
                costs.new_length[nets] = _half_perimeter(circuit, layout, net)
                growth += costs.new_length[nets] - costs.length[net]
                nets += 1
        for at in range(circuit.first_wire[cell], circuit.first_wire[cell + 1]):
            wire = circuit.wire_of[at]
            if costs.wire_stamp[wire] != number:
                costs.wire_stamp[wire] = number
                costs.wires[wires] = wire
                costs.new_cost[wires] = _wire_cost(circuit, layout, wire, weights)
                growth += costs.new_cost[wires] - costs.cost[wire]
                wires += 1
    return growth, nets, wires


@njit(cache=True)
def _costs_of(circuit, layout, weights):
    nets, wires = circuit.first_pin.size - 1, circuit.driver.size
    cost = np.empty(wires)
    for wire in range(wires):
        cost[wire] = _wire_cost(circuit, layout, wire, weights)
    return _Costs(
        half_perimeters(circuit, layout), cost, np.empty(nets, dtype=np.int32), np.empty(wires),
        np.empty(nets, dtype=np.int32), np.empty(wires, dtype=np.int32),
        np.full(nets, -1, dtype=np.int64), np.full(wires, -1, dtype=np.int64))


@njit(cache=True, nogil=True)
def anneal(circuit, layout, occupation, candidates, moves, heat, reach, weights, seed):
    """Try so many moves of groups; return the share that was accepted.

    Parameters
    ----------
    circuit : Circuit
    layout : Layout
        Changed in place, as is ``occupation``.
    occupation : Occupation
    candidates : ndarray of int
        Groups to move, one of which is drawn for each move.
    moves : int
    heat : float
        What a cost may grow, now and then, tiles of wire.
    reach : int
        Farthest move, tiles.
    weights : Weights
    seed : int
    """
    np.random.seed(seed)
    costs = _costs_of(circuit, layout, weights)
    moved, target = np.empty(_MOST_MOVED, dtype=np.int32), np.empty((_MOST_MOVED, 3), dtype=np.int32)
    stamp = np.full(circuit.kind.size, -1, dtype=np.int64)
    cluster = np.empty(_MOST_GROUPS, dtype=np.int32)
    accepted = 0
    for number in range(moves):
        group = candidates[np.random.randint(candidates.size)]
        count = _plan_move(circuit, layout, occupation, group, number, reach, weights, moved, target, cluster)
        if count == 0 or _has_conflict(moved, count, stamp, number):
            continue
        keep = _exchange(circuit, layout, occupation, moved, target, count)
        keep = keep and (circuit.kind[moved[0]] == BLOCK or _all_legal(circuit, layout, occupation, moved, target, count))
        if keep:
            growth, nets, wires = _measure(circuit, layout, moved, count, number, weights, costs)
            keep = growth <= 0 or np.random.random() < math.exp(-growth / heat)
        if keep:
            accepted += 1
            for index in range(nets):
                costs.length[costs.nets[index]] = costs.new_length[index]
            for index in range(wires):
                costs.cost[costs.wires[index]] = costs.new_cost[index]
        else:
            _exchange(circuit, layout, occupation, moved, target, count)
    return accepted / max(moves, 1)
