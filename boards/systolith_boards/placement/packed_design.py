"""A design as nextpnr-ecp5 writes it after packing and placement."""

import copy
import json
import re
from pathlib import Path

__all__ = ["COMB", "FF", "RAMW", "PackedDesign"]

COMB, FF, RAMW = "TRELLIS_COMB", "TRELLIS_FF", "TRELLIS_RAMW"
_ROUTED = {COMB, FF, RAMW, "DP16KD", "MULT18X18D"}
_INSIDE = {"FCI", "FXA", "FXB", "F1", "DI", "WD", "WAD0", "WAD1", "WAD2", "WAD3"}
"""Inputs that are wired within their slice."""
_BEL = re.compile(r"X(\d+)/Y(\d+)/(\S+)")
_SLICE = re.compile(r"SLICE([A-D])\.(?:K|FF)([01])")


class PackedDesign:
    """Cells, places and nets.

    Parameters
    ----------
    path : Path
        File that nextpnr has written with ``--write``.

    Attributes
    ----------
    names, types : list of str
        Of the cells, in the order of the file; a cell is named by its index here.
    index : dict of str to int
        Cell by name.
    x, y : list of int
        Tile of each cell, 0 without a place.
    slot : list of (int or None)
        Which of the eight LUTs (or flip-flops) of its tile a LUT (or flip-flop) is.
    drivers : dict of int to (int, str)
        Cell and port that drive a net.
    sinks : dict of int to list of (int, str)
        Cells and ports that a net leads to.
    copies : dict of int to int
        Flip-flops that :meth:`copy` has made, and of which.
    exchanged : dict of (int, str) to str
        Cell and input that a wire led to in the file, and the input of that cell that it leads to now.
    """

    def __init__(self, path: Path):
        self._document = json.loads(path.read_text())
        self._module = self._top(self._document)
        self._cells = self._module["cells"]
        self.names = list(self._cells)
        self.index = {name: cell for cell, name in enumerate(self.names)}
        self.types = [values["type"] for values in self._cells.values()]
        places = [self._read_place(values) for values in self._cells.values()]
        self.x, self.y, self.slot, self.site = (list(column) for column in zip(*places))
        self.drivers, self.sinks, self.copies, self.exchanged = {}, {}, {}, {}
        for cell, values in enumerate(self._cells.values()):
            self._read_nets(cell, values)

    @staticmethod
    def _top(document):
        """The module with the design."""
        return next(module for module in document["modules"].values() if module.get("cells"))

    @staticmethod
    def _read_place(values):
        match = _BEL.match(values["attributes"].get("NEXTPNR_BEL", ""))
        if match is None:
            return 0, 0, None, None
        inside = _SLICE.fullmatch(match[3])
        slot = None if inside is None else 2 * "ABCD".index(inside[1]) + int(inside[2])
        return int(match[1]), int(match[2]), slot, match[3]

    def _read_nets(self, cell, values):
        for port, bits in values["connections"].items():
            for net in bits:
                if not isinstance(net, int):
                    continue
                if values["port_directions"][port] == "output":
                    self.drivers[net] = (cell, port)
                else:
                    self.sinks.setdefault(net, []).append((cell, port))

    def net(self, cell: int, port: str) -> int | None:
        """Return the net at a port of one bit, if there is one."""
        return next(iter(self._cells[self.names[cell]]["connections"].get(port, ())), None)

    def nets(self, cell: int) -> dict[str, list[int]]:
        """Return the nets at each port."""
        return self._cells[self.names[cell]]["connections"]

    def net_name(self, net: int) -> str:
        """Return the name of a net."""
        return next((name for name, values in self._module["netnames"].items() if net in values["bits"]), "")

    def parameter(self, cell: int, name: str) -> str:
        """Return a parameter as text, empty if it is not set."""
        return self._cells[self.names[cell]]["parameters"].get(name, "").strip()

    def place(self, cell: int, x: int, y: int, slot: int) -> None:
        """Give a LUT or a flip-flop another place."""
        self.slot[cell] = slot
        self.move(cell, x, y, f"SLICE{'ABCD'[slot // 2]}.{'K' if self.types[cell] == COMB else 'FF'}{slot % 2}")

    def move(self, cell: int, x: int, y: int, site: str) -> None:
        """Give any cell another place, by its name in the tile."""
        self.x[cell], self.y[cell], self.site[cell] = x, y, site
        self._cells[self.names[cell]]["attributes"]["NEXTPNR_BEL"] = f"X{x}/Y{y}/{site}"

    def copy(self, cell: int, sinks: list[tuple[int, str]], x: int, y: int, slot: int) -> int:
        """Give sinks of a flip-flop one of their own with the same inputs; return it."""
        name = f"{self.names[cell]}$copy{sum(original == cell for original in self.copies.values())}"
        values = copy.deepcopy(self._cells[self.names[cell]])
        ports, directions = values["connections"], values["port_directions"]
        if "DI" in ports:  # from the LUT of its slot, which the copy does not have
            ports["M"], directions["M"] = ports.pop("DI"), directions.pop("DI")
            values["parameters"]["SD"] = "0"
        old, new = ports["Q"][0], max(max(self.drivers), max(self.sinks)) + 1
        ports["Q"] = [new]
        self._cells[name] = values
        self._module["netnames"][name] = {"hide_name": 0, "bits": [new], "attributes": {}}
        number = len(self.names)
        self.names.append(name)
        self.types.append(FF)
        self.index[name] = number
        for column in (self.x, self.y, self.slot, self.site):
            column.append(None)
        self.copies[number] = cell
        self.sinks[new] = []
        self._read_nets(number, values)
        for sink in sinks:
            self._cells[self.names[sink[0]]]["connections"][sink[1]] = [new]
            self.sinks[old].remove(sink)
            self.sinks[new].append(sink)
        self.place(number, x, y, slot)
        return number

    def exchange_pins(self, cell: int, sources: dict[str, str]) -> None:
        """Give each input of a LUT the wire of another one, ``sources`` of each, and change its table so that it does the same.
        """
        values = self._cells[self.names[cell]]
        if all(new == old for new, old in sources.items()):
            return
        ports, pins, table = values["connections"], "ABCD", values["parameters"]["INITVAL"].strip()
        values["connections"] = ports | {new: ports.get(old, []) for new, old in sources.items()}
        for new in sources:
            values["port_directions"][new] = "input"
        # Bit A + 2 B + 4 C + 8 D of the table, from the right.
        bits = []
        for index in range(len(table)):
            old = sum((index >> pins.index(pin_new) & 1) << pins.index(pin_old) for pin_new, pin_old in sources.items())
            bits.append(table[-1 - old])
        values["parameters"]["INITVAL"] = "".join(reversed(bits))
        before = {self.exchanged.get((cell, pin), pin): pin for pin in sources}
        self.exchanged |= {(cell, before[old]): new for new, old in sources.items()}
        renamed = {(cell, old): (cell, new) for new, old in sources.items()}
        for net in {net for pin in sources for net in values["connections"][pin] if isinstance(net, int)}:
            self.sinks[net] = [renamed.get(sink, sink) for sink in self.sinks[net]]

    def write(self, path: Path, chosen: set[tuple[int, str]] | None = None) -> None:
        """Write the file that nextpnr reads with ``--no-pack --no-place``.

        A port without a net gets an undefined one: nextpnr would forget the port, and not tie unused inputs of RAMs to 0.

        Parameters
        ----------
        path : Path
        chosen : set of (int, str), optional
            Only the wires to these inputs, and what there is no choice about: wires within a slice, clocks, and all nets of
            cells that are neither logic nor blocks.
        """
        for values in self._cells.values():
            for port, bits in values["connections"].items():
                if not bits and values["port_directions"][port] == "input":
                    values["connections"][port] = ["x"]
        module = self._module if chosen is None else self._part(chosen)
        top = next(name for name, found in self._document["modules"].items() if found is self._module)
        path.write_text(json.dumps(self._document | {"modules": {**self._document["modules"], top: module}}))

    def _part(self, chosen):
        """The module with the chosen wires only."""
        fixed = {net for cell, kind in enumerate(self.types) if kind not in _ROUTED
                 for bits in self.nets(cell).values() for net in bits}
        kept = fixed | {self.net(*pin) for pin in chosen} | {
            net for net, sinks in self.sinks.items() if any(port in _INSIDE for _, port in sinks)}
        cells = {}
        for cell, (name, values) in enumerate(self._cells.items()):
            directions = values["port_directions"]
            cells[name] = values | {"connections": {
                port: bits if (port in _INSIDE or (cell, port) in chosen or not bits or bits[0] in fixed
                               or (directions[port] == "output" and bits[0] in kept)) else []
                for port, bits in values["connections"].items()}}
        names = {name: values for name, values in self._module["netnames"].items() if kept.issuperset(values["bits"])}
        return self._module | {"cells": cells, "netnames": names}

    def take_routes(self, path: Path) -> None:
        """Take over the routes of a file that nextpnr has written with ``--write``."""
        for name, values in self._top(json.loads(path.read_text()))["netnames"].items():
            route = values["attributes"].get("ROUTING", "").strip()
            if route and name in self._module["netnames"]:
                self._module["netnames"][name].setdefault("attributes", {})["ROUTING"] = route
