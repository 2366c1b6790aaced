"""Places of block RAMs and multipliers: the shortest wires to logic that stays where it is."""

import math
import random
from collections import defaultdict

from systolith_boards.placement.packed_design import PackedDesign

__all__ = ["BLOCK_COLUMNS", "BLOCK_TYPES", "block_sites", "place_blocks"]

BLOCK_COLUMNS = {
    "LFE5U-25F": (4, 13, 22, 33, 42, 51, 60),
    "LFE5U-85F": (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
}
"""First tile column of each group of four block RAMs, and of four multipliers, by device."""

_ROWS = {
    "LFE5U-25F": {"DP16KD": (25, 37), "MULT18X18D": (13,)},
    "LFE5U-85F": {"DP16KD": (22, 46, 70, 82), "MULT18X18D": (10, 34, 58)},
}
# Of each place in its group: column and the number in its name.
_MEMBERS = {"DP16KD": ("EBR", ((0, 0), (2, 1), (4, 2), (6, 3))), "MULT18X18D": ("MULT18_", ((0, 0), (1, 1), (4, 4), (5, 5)))}
BLOCK_TYPES = frozenset(_MEMBERS)
_CONTROLS = ("CLK", "CE", "RST")
_MOST_CONTROLS = 4  # different signals of a kind at the multipliers of a group
_WIDE = 3000  # a net of so many cells is a clock
_MOVES = 1000  # for each block
_HOT = 200.0  # tiles


def block_sites(device: str, kind: str) -> list[tuple[int, int, str]]:
    """Return column, row and name of all places of a kind of block."""
    prefix, members = _MEMBERS[kind]
    return [(first + offset, row, f"{prefix}{number}")
            for row in _ROWS[device][kind] for first in BLOCK_COLUMNS[device] for offset, number in members]


def place_blocks(design: PackedDesign, device: str, seed: int) -> dict[str, str]:
    """Find places for the block RAMs and multipliers of a placed design.

    nextpnr's static placer moves them to the nearest free places when the logic has its shape already, each by itself; the rest
    of its work cannot mend that. Placed first, as this function has it, they let the logic form around them.

    Parameters
    ----------
    design : PackedDesign
    device : str
        Key of :data:`BLOCK_COLUMNS`.
    seed : int

    Returns
    -------
    dict
        Place by name of the cell, as nextpnr takes it in attribute ``BEL``.
    """
    return _Annealing(design, device, seed).run()


class _Annealing:
    """Simulated annealing of the sum of the nets' half perimeters, tiles (Kirkpatrick et al., Science 220, 1983)."""

    def __init__(self, design, device, seed):
        self._random = random.Random(seed)
        self._design = design
        self._blocks = [cell for cell, kind in enumerate(design.types) if kind in BLOCK_TYPES]
        self._sites = {kind: block_sites(device, kind) for kind in sorted(BLOCK_TYPES)}
        self._width = max(BLOCK_COLUMNS[device])
        self._place = {cell: (design.x[cell], design.y[cell], design.site[cell]) for cell in self._blocks}
        self._owner = {place: cell for cell, place in self._place.items()}
        self._nets, self._nets_of = [], defaultdict(list)
        self._read_nets()
        self._controls = {cell: self._controls_of(cell) for cell in self._blocks if design.types[cell] == "MULT18X18D"}

    def _read_nets(self):
        """Keep of each net at a block the blocks, and the box around its other cells."""
        design, wanted = self._design, set(self._blocks)
        for net, (driver, _) in design.drivers.items():
            cells = {driver, *(cell for cell, _ in design.sinks.get(net, ()))}
            blocks = sorted(cells & wanted)
            if not blocks or not 1 < len(cells) < _WIDE:
                continue
            others = [cell for cell in cells - wanted if design.site[cell]]
            x, y = [design.x[cell] for cell in others], [design.y[cell] for cell in others]
            box = ((min(x), max(x)), (min(y), max(y))) if others else ((), ())
            for cell in blocks:
                self._nets_of[cell].append(len(self._nets))
            self._nets.append((blocks, *box))

    def _controls_of(self, cell):
        nets = self._design.nets(cell)
        return tuple(frozenset(net for port, bits in nets.items() if port.startswith(kind) and port[len(kind):].isdigit()
                               for net in bits) for kind in _CONTROLS)

    def _length(self, net):
        blocks, x, y = self._nets[net]
        x = [*x, *(self._place[cell][0] for cell in blocks)]
        y = [*y, *(self._place[cell][1] for cell in blocks)]
        return max(x) - min(x) + max(y) - min(y)

    def run(self):
        lengths = [self._length(net) for net in range(len(self._nets))]
        moves = _MOVES * len(self._blocks)
        for move in range(moves):
            left = 1 - move / moves
            self._try(lengths, heat=_HOT * left**2 + 0.01, reach=max(6, self._width * left))
        return {self._design.names[cell]: f"X{x}/Y{y}/{site}" for cell, (x, y, site) in self._place.items()}

    def _try(self, lengths, heat, reach):
        """Move a block, or let it change places with another, if that is shorter, or now and then if it is not."""
        cell = self._random.choice(self._blocks)
        here = self._place[cell]
        there = self._random.choice(self._sites[self._design.types[cell]])
        if there == here or abs(there[0] - here[0]) > reach:
            return
        other = self._owner.get(there)
        touched = set(self._nets_of[cell]) | set(self._nets_of[other] if other is not None else ())
        self._put(cell, here, there, other)
        new = {net: self._length(net) for net in touched}
        growth = sum(new.values()) - sum(lengths[net] for net in touched)
        if (growth <= 0 or self._random.random() < math.exp(-growth / heat)) and self._few_controls(cell, here, there):
            for net, length in new.items():
                lengths[net] = length
        else:
            self._put(cell, there, here, other)

    def _put(self, cell, here, there, other):
        self._place[cell], self._owner[there] = there, cell
        if other is None:
            del self._owner[here]
        else:
            self._place[other], self._owner[here] = here, other

    def _few_controls(self, cell, *places):
        """Tell whether the groups of multipliers at the places share their clocks, enables and resets as they must."""
        if cell not in self._controls:
            return True
        for x, row, site in places:
            first = x - int(site.removeprefix("MULT18_"))
            group = [self._owner.get((first + offset, row, f"MULT18_{number}")) for offset, number in _MEMBERS["MULT18X18D"][1]]
            kinds = zip(*(self._controls[member] for member in group if member is not None))
            if any(len(frozenset().union(*signals)) > _MOST_CONTROLS for signals in kinds):
                return False
        return True
