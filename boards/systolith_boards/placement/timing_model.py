"""Static timing of a placed design: cells as nextpnr has them, wires by their length."""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from systolith_boards.placement.packed_design import COMB, FF, PackedDesign

__all__ = ["LUT_PINS", "TimingModel"]

_INSTANCE = re.compile(r"\(INSTANCE (\S*)\)")
_PATH = re.compile(r"\(IOPATH (\S+) (\S+) \(\S*?:\S*?:(\d+)\)")
_SETUP = re.compile(r"\(SETUPHOLD \(posedge (\S+)\) \(\w+ (\S+)\) \(\S*?:\S*?:(-?\d+)\)")
_CLOCKS = ("CLK", "WCK")
_UNTIMED = ("DCCA", "TRELLIS_IO")
_NEVER = 1e9

# Picoseconds of wires at speed grade 6, fitted to routes of designs of this repository. Inside a slice they are fixed.
_FIXED = {"FCI": 0, "FXA": 0, "FXB": 0, "F1": 0, "DI": 130, "WD": 80, "WAD0": 80, "WAD1": 80, "WAD2": 80, "WAD3": 80}
_BASE, _BLOCK_END, _IN_TILE, _FROM_FLIPFLOP = 530, 300, 430, 80
_BASE_BY_DISTANCE = 560  # in place of _BASE, fitted without the delays of pins: by_pins=False
LUT_PINS = {"A": 220, "B": 200, "C": 120, "D": 0}
"""What a wire in the logic takes longer to each input of a LUT, ps at speed grade 6."""
_PINS = {"LSR": -160, **LUT_PINS}
_NEAR, _NEAR_X, _NEAR_Y, _FAR_X, _FAR_Y = 5, 75, 90, 50, 60
_LARGEST = 160  # tiles from one end of the largest device to the other, and more
_CLOCK_TO_OUTPUT = 525  # of a flip-flop at this speed grade: the wires of others are scaled with theirs


class TimingModel:
    """Delays, and how critical each wire is.

    Parameters
    ----------
    design : PackedDesign
        Its places may change between calls.
    sdf : Path
        Delays of the cells, as nextpnr writes them with ``--sdf``.
    by_pins : bool
        The delay of a wire depends on the pins that it connects; else on the distance alone. An attribute too.

    Attributes
    ----------
    wire : dict of (int, str) to int
        Wire by the cell and port that it ends at.
    drivers, sinks : ndarray of int, shape (wires,)
        Cells at the ends of each wire.
    fixed, base, pins : ndarray of float, shape (wires,)
        Delay whatever the places, or -1; and what is added to that of the distance, ps.
    distances : ndarray of float, shape (columns, rows)
        Delay of a wire in the logic by how far it goes, ps.
    """

    def __init__(self, design: PackedDesign, sdf: Path, *, by_pins: bool = True):
        self._design, self.by_pins = design, by_pins
        paths, setups = _read_sdf(sdf, design)
        paths = {(cell, design.exchanged.get((cell, source), source), target): delay
                 for (cell, source, target), delay in paths.items()}
        copies = defaultdict(list)
        for copy, original in design.copies.items():
            copies[original].append(copy)
        paths |= {(copy, *ports): delay for (cell, *ports), delay in paths.items() for copy in copies.get(cell, ())}
        # The original may be fed by the LUT of its slot, the copy by input M: with the same setup time.
        setups |= {(copy, "M" if port == "DI" else port): time
                   for (cell, port), time in setups.items() for copy in copies.get(cell, ())}
        self._number_wires()
        self._build_graph(paths, setups)

    def _number_wires(self):
        design = self._design
        self._node = {driver: number for number, driver in enumerate(design.drivers.values())}
        self.wire, drivers, nodes = {}, [], []
        for net, driver in design.drivers.items():
            if design.types[driver[0]] in _UNTIMED:
                continue
            for sink in design.sinks.get(net, ()):
                self.wire[sink] = len(drivers)
                drivers.append(driver[0])
                nodes.append(self._node[driver])
        self._driver_pins = list(design.drivers.values())
        sinks = [cell for cell, _ in self.wire]
        self._wire_node, self.drivers, self.sinks = (np.array(column, dtype=np.int64) for column in (nodes, drivers, sinks))

    def _build_graph(self, paths, setups):
        design, fastest = self._design, _NEVER
        self._start = np.full(len(self._node), -_NEVER)
        edges = []
        for (cell, source, target), delay in paths.items():
            node = self._node.get((cell, target))
            if node is None or design.types[cell] in _UNTIMED:
                continue
            if source.startswith(_CLOCKS):
                self._start[node] = max(self._start[node], delay)
                fastest = min(fastest, delay) if design.types[cell] == FF else fastest
            elif (cell, source) in self.wire:
                wire = self.wire[cell, source]
                edges.append((self._wire_node[wire], node, delay, wire))
        ends = [(self._wire_node[self.wire[pin]], delay, self.wire[pin]) for pin, delay in setups.items() if pin in self.wire]
        self._ends = np.array(ends, dtype=np.int64).reshape(-1, 3)
        self._edges, self._levels = _in_levels(np.array(edges, dtype=np.int64).reshape(-1, 4), len(self._node))
        self.scale = scale = fastest / _CLOCK_TO_OUTPUT if fastest < _NEVER else 1.0
        self.fixed = np.array([_FIXED.get(port, -1) if design.types[cell] in (COMB, FF) else -1 for cell, port in self.wire],
                              dtype=float)
        self.fixed[self.fixed > 0] *= scale
        in_logic = np.array([kind in (COMB, FF) for kind in design.types])
        self.pins = np.zeros(len(self.wire))
        self.base = scale * _BLOCK_END * (2.0 - in_logic[self.drivers] - in_logic[self.sinks])
        if self.by_pins:
            self.pins += scale * np.array([_PINS.get(port, 0.0) if in_logic[cell] else 0.0 for cell, port in self.wire])
            from_flipflop = np.array([kind == FF for kind in design.types])[self.drivers]
            self.base += self.pins + scale * _FROM_FLIPFLOP * from_flipflop
        self._table = [[self._compute_distance(dx, dy) for dy in range(_LARGEST)] for dx in range(_LARGEST)]
        self.distances = np.array(self._table)

    def _compute_distance(self, dx, dy):
        if dx == dy == 0:
            return _IN_TILE * self.scale
        near = min(dx, _NEAR) * _NEAR_X + min(dy, _NEAR) * _NEAR_Y
        base = _BASE if self.by_pins else _BASE_BY_DISTANCE
        return (base + near + max(dx - _NEAR, 0) * _FAR_X + max(dy - _NEAR, 0) * _FAR_Y) * self.scale

    def distance_delay(self, dx: int, dy: int) -> float:
        """Delay of a wire in the logic that goes so many columns and rows, ps."""
        return self._table[abs(dx)][abs(dy)]

    def wire_delays(self, places=None) -> np.ndarray:
        """Delay of each wire, ps, with the places of the design or others (``x`` and ``y`` of each cell)."""
        places = places or self._design
        x, y = np.array(places.x), np.array(places.y)
        dx, dy = np.abs(x[self.drivers] - x[self.sinks]), np.abs(y[self.drivers] - y[self.sinks])
        return np.where(self.fixed >= 0, self.fixed, self.base + self.distances[dx, dy])

    def analyse(self, places=None) -> tuple[np.ndarray, np.ndarray]:
        """Follow all paths, with the delays of :meth:`wire_delays`; results as of :meth:`follow`."""
        return self.follow(self.wire_delays(places))

    def follow(self, delays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow all paths.

        Parameters
        ----------
        delays : ndarray of float, shape (wires,)

        Returns
        -------
        slack : ndarray of float, shape (wires,)
            How much later a signal could come through each wire without a path longer than the longest, ps.
        arrivals : ndarray of float, shape (ends,)
            Length of the longest path to each input of a register, ps.
        """
        edges = self._edges
        steps = edges[:, 2] + delays[edges[:, 3]]
        arrival = self._arrival(steps)
        last = self._ends[:, 1] + delays[self._ends[:, 2]]
        arrivals = arrival[self._ends[:, 0]] + last
        required = np.full(len(arrival), _NEVER)
        np.minimum.at(required, self._ends[:, 0], arrivals.max() - last)
        for level in reversed(self._levels):
            np.minimum.at(required, edges[level, 0], required[edges[level, 1]] - steps[level])
        slack = np.full(len(self.drivers), _NEVER)
        np.minimum.at(slack, self._ends[:, 2], arrivals.max() - arrivals)
        np.minimum.at(slack, edges[:, 3], required[edges[:, 1]] - steps - arrival[edges[:, 0]])
        return slack, arrivals

    def branching(self, weight: np.ndarray) -> np.ndarray:
        """Weight of all wires behind the cell of each wire, as a multiple of the heaviest of them; 1 where there are none.

        Parameters
        ----------
        weight : ndarray of float, shape (wires,)

        Returns
        -------
        ndarray of float, shape (wires,)
            At least 1.
        """
        total = np.bincount(self._wire_node, weights=weight, minlength=len(self._start))
        heaviest = np.zeros(len(self._start))
        np.maximum.at(heaviest, self._wire_node, weight)
        times = np.divide(total, heaviest, out=np.ones(len(self._start)), where=heaviest > 0)
        behind = np.ones(len(weight))
        np.maximum.at(behind, self._edges[:, 3], times[self._edges[:, 1]])
        return behind

    def _arrival(self, steps):
        """When the last change arrives at each output, ps."""
        arrival = self._start.copy()
        for level in self._levels:
            np.maximum.at(arrival, self._edges[level, 1], arrival[self._edges[level, 0]] + steps[level])
        return arrival

    def driver_pin(self, wire: int) -> tuple[int, str]:
        """Cell and port that drive a wire."""
        return self._driver_pins[self._wire_node[wire]]

    @property
    def ends(self) -> np.ndarray:
        """The wire to each input of a register, in the order of the arrivals."""
        return self._ends[:, 2]

    def path_to(self, end: int, delays: np.ndarray) -> tuple[list[tuple[int, float]], float]:
        """Follow the longest path to an input of a register back.

        Parameters
        ----------
        end : int
            Number of the input in the order of the arrivals.
        delays : ndarray of float, shape (wires,)

        Returns
        -------
        steps : list of (int, float)
            Each wire on the way, and the delay of the cell before it, ps; that of the first is from clock to output.
        setup : float
            ps
        """
        edges = self._edges
        steps = edges[:, 2] + delays[edges[:, 3]]
        arrival = self._arrival(steps)
        node, setup, wire = self._ends[end].tolist()
        path = []
        while True:
            into = np.nonzero(edges[:, 1] == node)[0]
            latest = max(into.tolist(), key=lambda edge: arrival[edges[edge, 0]] + steps[edge], default=None)
            if latest is None or arrival[edges[latest, 0]] + steps[latest] < self._start[node]:
                return [(wire, float(self._start[node])), *reversed(path)], setup
            path.append((wire, float(edges[latest, 2])))
            node, wire = int(edges[latest, 0]), int(edges[latest, 3])


def _read_sdf(path, design):
    """Delay by cell, input and output; setup time by cell and input; ps, the slowest corner."""
    paths, setups, cell = {}, {}, None
    with open(path) as lines:
        for line in lines:
            if "(INSTANCE" in line:
                cell = design.index.get(_INSTANCE.search(line)[1].replace("\\", ""))
            elif cell is not None and (match := _PATH.search(line)):
                key = (cell, match[1], match[2])
                paths[key] = max(paths.get(key, 0), int(match[3]))
            elif cell is not None and (match := _SETUP.search(line)):
                setups[cell, match[1]] = int(match[3])
    return paths, setups


def _in_levels(edges, nodes):
    """Sort edges by the level of their targets; return them and the slice of each level."""
    outgoing = edges[np.argsort(edges[:, 0], kind="stable")]
    first = np.searchsorted(outgoing[:, 0], np.arange(nodes + 1)).tolist()
    targets = outgoing[:, 1].tolist()
    waiting = np.bincount(edges[:, 1], minlength=nodes).tolist()
    level = [0] * nodes
    ready = [node for node in range(nodes) if not waiting[node]]
    while ready:
        node = ready.pop()
        for target in targets[first[node] : first[node + 1]]:
            level[target] = max(level[target], level[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    levels = np.array(level)[edges[:, 1]]
    order = np.argsort(levels, kind="stable")
    bounds = np.searchsorted(levels[order], np.arange(1, max(level) + 2))
    return edges[order], [slice(begin, end) for begin, end in zip(bounds[:-1], bounds[1:])]
