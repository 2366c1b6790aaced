"""Attributes the cells of a flattened ECP5 netlist to the modules they come from."""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass

__all__ = ["Resources", "Netlist"]

_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
_FLIP_FLOPS = {"TRELLIS_FF": 1}
_DSPS = {"MULT18X18D": 1}
_BLOCK_RAMS = {"DP16KD": 1, "PDPW16KD": 1}
_NOT_CELLS = {"$scopeinfo"}
_MODULE = re.compile(r"^\s*module\s+(\\\S+|[A-Za-z_][\w$]*)", re.MULTILINE)
# Another file of the user; those of yosys itself have absolute names.
_OTHER_FILE = re.compile(r"[^/|][^|]*:\d")


@dataclass(frozen=True)
class Resources:
    """Cells of a part of the design.

    Attributes
    ----------
    lut : int
        LUT4s: one for each LUT4, 2 for each CCU2C (carry chain of two bits) and 6 for each TRELLIS_DPR16X4
        (distributed RAM: four that store and two that its write port takes). Multiplexers of wide LUTs
        (PFUMX, L6MUX21) cost none.
    ff : int
        Flip-flops in the fabric. Registers inside DSPs and block RAMs are not counted.
    dsp : int
        18x18 multipliers (MULT18X18D).
    bram : int
        Block RAMs of 18 kbit (DP16KD).
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

    @classmethod
    def of_cell(cls, cell_type):
        """Return the resources of one cell."""
        return cls(
            lut=_LUTS.get(cell_type, 0),
            ff=_FLIP_FLOPS.get(cell_type, 0),
            dsp=_DSPS.get(cell_type, 0),
            bram=_BLOCK_RAMS.get(cell_type, 0),
        )


class Netlist:
    """Flattened netlist of yosys with the module instance of every cell.

    Registers, carry chains, DSPs and block RAMs keep their instance through synthesis (source line or
    name). LUTs lose it in technology mapping: one whose output has a name of the design belongs to the
    instance that drives this name, any other to the instance of most of the cells it feeds. Each cell is
    counted once, so the parts add up to the whole.

    Parameters
    ----------
    design : dict
        Output of ``write_json`` of yosys after ``synth_ecp5``.
    top : str
        Its top module.
    verilog : str
        Text of the design. Each of its modules should be instantiated once, as in Verilog from Amaranth;
        where one is not, names decide between its instances.
    source : str
        Name of the file with this text when yosys read it.
    """

    def __init__(self, design, *, top, verilog, source):
        module = design["modules"][top]
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

    def instance(self, cell):
        """Return the instance path of a cell: ``""`` for the top module or an unknown cell."""
        return self._instances.get(self._packed(cell), "")

    def cell_label(self, cell):
        """Return what a person calls a cell: the name of what it drives, and its type in brackets."""
        cell = self._packed(cell)
        if cell not in self._cells:
            return cell
        cell_type = self._cells[cell]["type"]
        if cell_type in _DSPS or cell_type in _BLOCK_RAMS:
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
        while cell not in self._cells and "$" in cell:
            cell = cell.rpartition("$")[0]
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
                one = Resources.of_cell(cell_type)
                total += Resources(
                    lut=one.lut * count, ff=one.ff * count, dsp=one.dsp * count, bram=one.bram * count
                )
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
            if cell["type"] in ("LUT4", "PFUMX", "L6MUX21"):
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
