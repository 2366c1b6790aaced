"""Attributes the cells of a flattened netlist to the modules they come from."""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass

__all__ = ["CellTable", "Resources", "Netlist"]

_NOT_CELLS = {"$scopeinfo"}
# What nextpnr appends to the names of cells that it packs: "$..." (ECP5), "_LC" (iCE40).
_PACKED = re.compile(r"(.+)(?:\$[^$]*|_D?LC)")
_MODULE = re.compile(r"^\s*module\s+(\\\S+|[A-Za-z_][\w$]*)", re.MULTILINE)
# Another file of the user; those of yosys itself have absolute names.
_OTHER_FILE = re.compile(r"[^/|][^|]*:\d")


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """What the cells of a family cost.

    Attributes
    ----------
    lut, ff, dsp, bram : dict of str to int
        Cost by cell type; a name that ends in ``*`` stands for all that begin so. Other cells cost nothing.
    nameless : tuple of str
        Types of cells that lose their instance in technology mapping.
    """

    lut: dict
    ff: dict
    dsp: dict
    bram: dict
    nameless: tuple

    def resources(self, cell_type):
        """Return the :class:`Resources` of one cell."""
        return Resources(**{kind: self._cost(getattr(self, kind), cell_type) for kind in ("lut", "ff", "dsp", "bram")})

    def is_block(self, cell_type):
        """Tell whether a cell is a DSP or a block RAM, whose own name says most."""
        return bool(self._cost(self.dsp, cell_type) or self._cost(self.bram, cell_type))

    @staticmethod
    def _cost(costs, cell_type):
        if cell_type in costs:
            return costs[cell_type]
        return next((cost for name, cost in costs.items() if name[-1] == "*" and cell_type.startswith(name[:-1])), 0)


@dataclass(frozen=True)
class Resources:
    """Cells of a part of the design, as the :class:`CellTable` of its family counts them.

    Attributes
    ----------
    lut : int
        LUT4s, carry chains and distributed RAM included.
    ff : int
        Flip-flops in the fabric. Registers inside DSPs and block RAMs are not counted.
    dsp : int
        Multipliers.
    bram : int
        Block RAMs.
    """

    lut: int = 0
    ff: int = 0
    dsp: int = 0
    bram: int = 0

    def __add__(self, other):
        return Resources(
            lut=self.lut + other.lut,
            ff=self.ff + other.ff,
            dsp=self.dsp + other.dsp,
            bram=self.bram + other.bram,
        )

    def times(self, count):
        """Return the resources of so many of it."""
        return Resources(lut=self.lut * count, ff=self.ff * count, dsp=self.dsp * count, bram=self.bram * count)


class Netlist:
    """Flattened netlist of yosys with the module instance of every cell.

    Registers, carry chains, DSPs and block RAMs keep their instance through synthesis (source line or
    name). LUTs lose it in technology mapping: one whose output has a name of the design belongs to the
    instance that drives this name, any other to the instance of most of the cells it feeds. Each cell is
    counted once, so the parts add up to the whole.

    Parameters
    ----------
    design : dict
        Output of ``write_json`` of yosys after technology mapping.
    top : str
        Its top module.
    verilog : str
        Text of the design. Each of its modules should be instantiated once, as in Verilog from Amaranth;
        where one is not, names decide between its instances.
    source : str
        Name of the file with this text when yosys read it.
    cells : CellTable
        Of the family.
    """

    def __init__(self, design, *, top, verilog, source, cells):
        module = design["modules"][top]
        self._table = cells
        self._cells = {name: cell for name, cell in module["cells"].items() if cell["type"] not in _NOT_CELLS}
        self._paths = sorted(
            (name for name, cell in module["cells"].items() if cell["type"] == "$scopeinfo"),
            key=len,
            reverse=True,
        )
        self._read_modules(module, verilog, source, top)
        self._nets = module["netnames"]
        self._drivers = self._named_drivers(module, verilog.split("\n"), source)
        self._instances = self._attribute()

    @property
    def types(self):
        """Types of the cells."""
        return {cell["type"] for cell in self._cells.values()}

    @property
    def has_places(self):
        """Whether cells have a place already, in attribute ``BEL``."""
        return any("BEL" in cell["attributes"] for cell in self._cells.values())

    def lone_registers(self, registers, sources):
        """Count the registers that no cell of ``sources`` feeds; of several that one cell feeds, one is not counted.

        Parameters
        ----------
        registers, sources : str
            What the types of these cells begin with, a regular expression. Data inputs of registers are named D.
        """
        feeds = {
            bit: name
            for name, cell in self._cells.items() if re.match(sources, cell["type"])
            for port, bits in cell["connections"].items() if cell["port_directions"][port] == "output"
            for bit in bits
        }
        fed = [feeds.get(cell["connections"]["D"][0]) for cell in self._cells.values() if re.match(registers, cell["type"])]
        return len(fed) - len(set(fed) - {None})

    def instance(self, cell):
        """Return the instance path of a cell: ``""`` for the top module or an unknown cell."""
        return self._instances.get(self._packed(cell), "")

    def cell_label(self, cell):
        """Return what a person calls a cell: the name of what it drives, and its type in brackets."""
        cell = self._packed(cell)
        if cell not in self._cells:
            return cell
        cell_type = self._cells[cell]["type"]
        if self._table.is_block(cell_type):
            return f"{cell} [{cell_type}]"
        connections, directions = self._cells[cell]["connections"], self._cells[cell]["port_directions"]
        outputs = [bit for port, bits in connections.items() if directions[port] == "output" for bit in bits]
        named = [self._drivers[bit] for bit in outputs if bit in self._drivers]
        instance = self.instance(cell)
        if not named:
            return f"{instance}.(unnamed) [{cell_type}]"
        path, name = named[0]
        return f"{name} [{cell_type}]" if path == instance else f"{name} [{cell_type} in {instance}]"

    def net_label(self, net):
        """Return what a person calls a net, the name where it is driven, or None."""
        match = re.fullmatch(r"(.*)\[(\d+)\]", net)
        if net in self._nets:
            bit = self._nets[net]["bits"][0]
        elif match and match.group(1) in self._nets:
            bit = self._nets[match.group(1)]["bits"][int(match.group(2))]
        else:
            bit = None
        return self._drivers[bit][1] if bit in self._drivers else None

    def _packed(self, cell):
        """Return the name that a cell had before nextpnr packed it."""
        while cell not in self._cells and (match := _PACKED.fullmatch(cell)):
            cell = match.group(1)
        return cell

    def resources(self):
        """Return the :class:`Resources` of each instance path by itself, without the instances in it."""
        counts = defaultdict(Counter)
        for name, cell in self._cells.items():
            counts[self.instance(name)][cell["type"]] += 1
        result = {}
        for path, types in counts.items():
            total = Resources()
            for cell_type, count in types.items():
                total += self._table.resources(cell_type).times(count)
            result[path] = total
        return result

    def _read_modules(self, module, verilog, source, top):
        """Note at which line each module of the text starts and which paths instantiate it."""
        self._source = re.compile(rf"{re.escape(source)}:(\d+)\.(\d+)")
        self._starts, self._module_names = [], []
        for match in _MODULE.finditer(verilog):
            self._starts.append(verilog.count("\n", 0, match.start(1)) + 1)
            self._module_names.append(match.group(1).removeprefix("\\"))
        self._instantiations = defaultdict(list, {top: [""]})
        for name, cell in module["cells"].items():
            if cell["type"] == "$scopeinfo":
                self._instantiations[cell["attributes"].get("module", "").removeprefix("\\")].append(name)

    def _path_of_name(self, name):
        """Return the longest instance path that a hierarchical name starts with."""
        for path in self._paths:
            if name.startswith(path + "."):
                return path
        return ""

    def _path_of_line(self, attributes, name):
        """Return the instance path of the first line of the design in the ``src`` attribute, or None."""
        source = attributes.get("src", "")
        match = self._source.search(source)
        if match is None:
            return "" if _OTHER_FILE.match(source) else None
        index = bisect_right(self._starts, int(match.group(1))) - 1
        paths = self._instantiations.get(self._module_names[index], []) if index >= 0 else []
        if len(paths) == 1:
            return paths[0]
        by_name = self._path_of_name(name)
        return by_name if by_name in paths else next(iter(paths), None)

    def _named_drivers(self, module, lines, source):
        """Map each net bit with names of the design to ``(path, name)`` where its driver is.

        A net has a name in every instance it passes. Its driver is in the innermost one that it does not
        enter as an input. Where synthesis has removed the driver's own name, another instance's stands in.
        """
        entered, names = defaultdict(set), defaultdict(list)
        for name, net in module["netnames"].items():
            attributes = net["attributes"]
            match = self._source.search(attributes.get("src", ""))
            if match is None or ("hdlname" not in attributes and "." in name):
                continue
            *scopes, own = attributes.get("hdlname", name).split()
            path = ".".join(scopes)
            if lines[int(match.group(1)) - 1].lstrip().startswith("input"):
                for bit in net["bits"]:
                    entered[bit].add(path)
                continue
            # Names that Amaranth or yosys made up say less than the designer's.
            rank = (len(scopes), not re.fullmatch(r"_\d+_|.*\$.*", own))
            for index, bit in enumerate(net["bits"]):
                label = f"{own}[{index}]" if len(net["bits"]) > 1 else own
                names[bit].append((rank, path, f"{path}.{label}" if path else label))
        drivers = {}
        for bit, candidates in names.items():
            outside = [entry for entry in candidates if entry[1] not in entered[bit]]
            if outside:
                drivers[bit] = max(outside, key=lambda entry: entry[0])[1:]
        return drivers

    def _attribute(self):
        """Return the instance path of each cell; see the class."""
        sinks = defaultdict(list)
        outputs = {}
        for name, cell in self._cells.items():
            outputs[name] = []
            for port, bits in cell["connections"].items():
                if cell["port_directions"].get(port) == "output":
                    outputs[name] += bits
                else:
                    for bit in bits:
                        sinks[bit].append(name)
        result, pending = {}, []
        for name, cell in self._cells.items():
            if cell["type"] in self._table.nameless:
                named = [self._drivers[bit][0] for bit in outputs[name] if bit in self._drivers]
                path = named[0] if named else None
            else:
                path = self._path_of_line(cell["attributes"], name)
                if path is None:
                    path = self._path_of_name(name)
            if path is None:
                pending.append(name)
            else:
                result[name] = path
        # Back from the registers, level by level. A tie goes to the path that sorts first.
        while pending:
            found = {}
            for name in pending:
                votes = [result.get(sink) for bit in outputs[name] for sink in sinks[bit]]
                if votes and None not in votes:
                    ranking = Counter(votes)
                    found[name] = min(ranking, key=lambda path, ranking=ranking: (-ranking[path], path))
            if not found:  # outputs of the design only, or a combinational loop
                found = {name: self._path_of_name(name) for name in pending}
            result.update(found)
            pending = [name for name in pending if name not in found]
        return result
