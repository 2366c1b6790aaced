"""Who sits where in the logic tiles of an ECP5, and what may."""

from collections import defaultdict

from systolith_boards.placement.packed_design import COMB, FF, RAMW, PackedDesign

__all__ = ["SLOTS", "LogicTiles"]

SLOTS = 8
"""LUTs, and flip-flops, of a tile."""


class LogicTiles:
    """Occupation of the tiles: eight LUTs and eight flip-flops each, two of both to a slice.

    Parameters
    ----------
    design : PackedDesign

    Attributes
    ----------
    carry, lut_ram, uses_m : list of bool
        Of each cell: LUT of a carry chain; LUT that stores; input M is used.
    enable, control : list of tuple
        Of each cell: what the flip-flops of a slice, and those of a tile, must have alike.
    columns, rows : set of int
        Where there is logic, as far as the design shows: it fills a grid but for the rows of block RAMs and multipliers and
        some columns.
    """

    def __init__(self, design: PackedDesign):
        self._design = design
        self._luts, self._flipflops = defaultdict(lambda: [None] * SLOTS), defaultdict(lambda: [None] * SLOTS)
        self.carry, self.lut_ram, self.uses_m, self.enable, self.control = [], [], [], [], []
        write_ports = set()
        for cell, kind in enumerate(design.types):
            self._read(cell)
            if kind == RAMW:
                write_ports.add((design.x[cell], design.y[cell]))
            if kind in (COMB, FF):
                self.put(cell)
        self._blocked = {tile: set(self._luts[tile][4:6]) | {None} for tile in write_ports}
        tiles = set(self._luts) | set(self._flipflops)
        self.columns, self.rows = {x for x, _ in tiles}, {y for _, y in tiles}

    def _read(self, cell):
        design, kind = self._design, self._design.types[cell]
        mode = design.parameter(cell, "MODE") if kind == COMB else ""
        self.carry.append(mode == "CCU2")
        self.lut_ram.append(mode == "DPRAM")
        self.uses_m.append(kind in (COMB, FF) and design.net(cell, "M") is not None)
        parameters = {name: design.parameter(cell, name) for name in ("CEMUX", "GSR", "CLKMUX", "LSRMUX", "SRMODE")}
        nets = {port: design.net(cell, port) for port in ("CE", "CLK", "LSR")}
        self.enable.append((nets["CE"], parameters["CEMUX"], parameters["GSR"]))
        self.control.append((nets["CLK"], nets["LSR"], parameters["CLKMUX"], parameters["LSRMUX"], parameters["SRMODE"]))

    @property
    def fill(self) -> float:
        """Share of the LUTs that are used."""
        used = sum(kind == COMB for kind in self._design.types)
        return used / (SLOTS * len(self.columns) * len(self.rows))

    def add(self, cell: int) -> None:
        """Take up a cell that the design has got since, the last one, at its place."""
        self._read(cell)
        self.put(cell)

    def exists(self, tile: tuple[int, int]) -> bool:
        """Tell whether there is logic in a tile, as far as the design shows."""
        return tile[0] in self.columns and tile[1] in self.rows

    def _slots(self, cell, tile):
        return (self._luts if self._design.types[cell] == COMB else self._flipflops)[tile]

    def admits_copy(self, flipflop: int, tile: tuple[int, int], slot: int) -> bool:
        """Tell whether a flip-flop with the controls of this one, and its input at M, may be there."""
        lut, flipflops = self._luts[tile][slot], self._flipflops[tile]
        if flipflops[slot] is not None or (lut is not None and self.uses_m[lut]):
            return False
        flipflops[slot] = flipflop
        legal = self.legal(tile)
        flipflops[slot] = None
        return legal

    def put(self, cell: int) -> None:
        """Occupy the place that the design has for the cell."""
        self._slots(cell, (self._design.x[cell], self._design.y[cell]))[self._design.slot[cell]] = cell

    def take(self, cell: int) -> None:
        """Free the place of the cell."""
        self._slots(cell, (self._design.x[cell], self._design.y[cell]))[self._design.slot[cell]] = None

    def legal(self, tile: tuple[int, int]) -> bool:
        """Tell whether what is in a tile may be there together.

        The rules of Lattice FPGA-TN-02070 as nextpnr checks them: the flip-flops of a tile share clock and set or reset,
        those of a slice the enable; the LUTs of a slice are both in carry chains or neither; one input M for LUT and
        flip-flop of a slot; no LUTs beside the write port of a RAM.
        """
        luts, flipflops = self._luts[tile], self._flipflops[tile]
        return (all(self._slice_is_legal(luts[first : first + 2], flipflops[first : first + 2]) for first in (0, 2, 4, 6))
                and (tile not in self._blocked or set(luts[4:6]) <= self._blocked[tile])
                and self._controls_are_legal(luts, flipflops))

    def _slice_is_legal(self, luts, flipflops):
        if None not in luts and self.carry[luts[0]] != self.carry[luts[1]]:
            return False
        if None not in flipflops and self.enable[flipflops[0]] != self.enable[flipflops[1]]:
            return False
        return not any(lut is not None and flipflop is not None and self.uses_m[lut] and self.uses_m[flipflop]
                       for lut, flipflop in zip(luts, flipflops))

    def _controls_are_legal(self, luts, flipflops):
        controls = {self.control[cell] for cell in flipflops if cell is not None}
        if len(controls) > 1:
            return False
        stores = any(cell is not None and self.lut_ram[cell] for cell in luts)
        return not stores or all(self.is_plain(control) for control in controls)

    @staticmethod
    def is_plain(control: tuple) -> bool:
        """Tell whether flip-flops with this control may be beside LUTs that store: clock and reset are not inverted."""
        return control[2:4] == ("CLK", "LSR")
