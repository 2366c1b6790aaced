"""Which LUTs and flip-flops keep their places towards each other."""

from collections import defaultdict

from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.packed_design import COMB, FF, RAMW, PackedDesign

__all__ = ["LogicGroups"]

_WRITE_SLOTS = (4, 5)
# Inputs with wires inside a slice or to its neighbour only.
_BOUND = {"FCI", "F1", "FXA", "FXB", "WD", "WAD0", "WAD1", "WAD2", "WAD3"}


class LogicGroups:
    """Groups of cells that move as one: a carry chain, the parts of a wide multiplexer, a LUT and the flip-flop it feeds.

    Parameters
    ----------
    design : PackedDesign
    tiles : LogicTiles

    Attributes
    ----------
    members : dict of int to list of int
        Cells by group. The write port of a distributed RAM is in that of its LUTs.
    group : dict of int to int
        Group by cell.
    """

    def __init__(self, design: PackedDesign, tiles: LogicTiles):
        self._design, self._tiles, self._parent = design, tiles, {}
        self._join()
        self._join_rams()
        everyone = defaultdict(list)
        for cell in self._parent:
            everyone[self._root(cell)].append(cell)
        self.members = {group: sorted(cells) for group, cells in everyone.items()}
        self.group = {cell: group for group, cells in self.members.items() for cell in cells}
        self._any_slot = {group for group, cells in self.members.items() if self._is_loose(cells)}

    def any_slot(self, group: int) -> bool:
        """Tell whether the group may have any slot of a tile; if not, it keeps those it has."""
        return group in self._any_slot

    def _root(self, cell):
        parent = self._parent
        while parent.setdefault(cell, cell) != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    def _join(self):
        """Join the cells that wires without a way of their own connect, and the two LUTs of a slice of a carry chain."""
        design, tiles, slices = self._design, self._tiles, {}
        for cell, kind in enumerate(design.types):
            if kind not in (COMB, FF):
                continue
            first = self._root(cell)
            if tiles.carry[cell]:
                place = (design.x[cell], design.y[cell], design.slot[cell] // 2)
                self._parent[first] = self._root(slices.setdefault(place, cell))
        for net, (driver, _) in design.drivers.items():
            for sink, port in design.sinks.get(net, ()):
                if (design.types[driver] in (COMB, RAMW) and design.types[sink] in (COMB, FF)
                        and (port in _BOUND or port == "DI")):
                    self._parent[self._root(sink)] = self._root(driver)

    def _join_rams(self):
        """Join the write port of a distributed RAM and the two LUTs in its place, which nextpnr has put there for that."""
        design = self._design
        write_ports = {(design.x[cell], design.y[cell]): cell for cell, kind in enumerate(design.types) if kind == RAMW}
        for cell, kind in enumerate(design.types):
            port = write_ports.get((design.x[cell], design.y[cell]))
            if kind == COMB and port is not None and design.slot[cell] in _WRITE_SLOTS:
                self._parent[self._root(cell)] = self._root(port)

    def _is_loose(self, cells):
        if any(self._design.types[cell] == RAMW for cell in cells):
            return False
        luts = [cell for cell in cells if self._design.types[cell] == COMB]
        return (len(luts) <= 1 and len(cells) - len(luts) <= 1
                and not any(self._tiles.carry[cell] or self._tiles.uses_m[cell] for cell in luts))
