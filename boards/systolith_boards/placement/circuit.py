"""A placed design as the arrays that the annealing works on, and back."""

from collections.abc import Iterable

import numpy as np

from systolith_boards.placement.annealing import BLOCK, FLIPFLOP, FOLLOWER, LUT, Circuit, Layout, Occupation
from systolith_boards.placement.block_sites import BLOCK_TYPES, SIGNALS, block_sites
from systolith_boards.placement.logic_groups import LogicGroups
from systolith_boards.placement.logic_tiles import SLOTS, LogicTiles
from systolith_boards.placement.packed_design import COMB, FF, RAMW, PackedDesign
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["build_circuit", "occupy", "read_layout", "write_layout"]

_KINDS = {COMB: LUT, FF: FLIPFLOP, RAMW: FOLLOWER, **dict.fromkeys(BLOCK_TYPES, BLOCK)}
_WIDE = 200  # cells: a net of more goes everywhere, and its length is not looked at


def build_circuit(design: PackedDesign, tiles: LogicTiles, model: TimingModel, device: str) -> Circuit:
    """Return what the annealing must know about a design, but for the places.

    Parameters
    ----------
    design : PackedDesign
    tiles : LogicTiles
    model : TimingModel
    device : str
        Key of :data:`~systolith_boards.placement.block_sites.BLOCK_COLUMNS`.
    """
    cells = range(len(design.types))
    control, controls = _numbered(tiles.control)
    nets = _nets(design)
    nets_of, wires_of = [[] for _ in cells], [[] for _ in cells]
    for number, pins in enumerate(nets):
        for cell in pins:
            nets_of[cell].append(number)
    for wire, ends in enumerate(zip(model.drivers.tolist(), model.sinks.tolist())):
        for cell in set(ends):
            wires_of[cell].append(wire)
    return Circuit(
        kind=np.array([_KINDS.get(kind, -1) for kind in design.types], dtype=np.int8),
        **_groups(design, tiles),
        carry=np.array(tiles.carry), stores=np.array(tiles.lut_ram), uses_m=np.array(tiles.uses_m),
        enable=_numbered(tiles.enable)[0], control=control,
        plain_control=np.array([tiles.is_plain(entry) for entry in controls], dtype=np.bool_),
        **_ragged("first_net", "net_of", nets_of), **_ragged("first_pin", "pin", nets),
        **_ragged("first_wire", "wire_of", wires_of),
        driver=model.drivers.astype(np.int32), sink=model.sinks.astype(np.int32),
        fixed=model.fixed, base=model.base, distance=model.distances,
        **_sites(design, device),
    )


def read_layout(design: PackedDesign, device: str) -> Layout:
    """Return the places of all cells."""
    numbers = {site[:3]: number for number, site in enumerate(_all_sites(device))}
    slots = [-1 if slot is None else slot for slot in design.slot]
    for cell, kind in enumerate(design.types):
        if kind in BLOCK_TYPES:
            slots[cell] = numbers[design.x[cell], design.y[cell], design.site[cell]]
    return Layout(*(np.array(column, dtype=np.int32) for column in (design.x, design.y, slots)))


def write_layout(design: PackedDesign, circuit: Circuit, layout: Layout, device: str) -> None:
    """Give the cells of the design the places of the layout."""
    names = [name for _, _, name, _ in _all_sites(device)]
    for cell, (kind, x, y, slot) in enumerate(zip(circuit.kind.tolist(), *(column.tolist() for column in layout))):
        if kind in (LUT, FLIPFLOP):
            design.place(cell, x, y, slot)
        elif kind >= 0:
            design.move(cell, x, y, names[slot] if kind == BLOCK else design.site[cell])


def occupy(circuit: Circuit, layout: Layout, tiles: LogicTiles) -> Occupation:
    """Return who is where in a layout."""
    exists = np.zeros((max(tiles.rows) + 1, max(tiles.columns) + 1), dtype=np.bool_)
    exists[np.ix_(sorted(tiles.rows), sorted(tiles.columns))] = True
    cells = np.full((*exists.shape, SLOTS, 2), -1, dtype=np.int32)
    logic = np.nonzero((circuit.kind == LUT) | (circuit.kind == FLIPFLOP))[0]
    cells[layout.y[logic], layout.x[logic], layout.slot[logic], circuit.kind[logic]] = logic
    blocks = np.full(len(circuit.site_x), -1, dtype=np.int32)
    placed = np.nonzero(circuit.kind == BLOCK)[0]
    blocks[layout.slot[placed]] = placed
    return Occupation(cells, exists, blocks)


def _nets(design):
    """Cells of each net whose length counts."""
    nets = []
    for net, (driver, _) in design.drivers.items():
        cells = {cell for cell in (driver, *(sink for sink, _ in design.sinks.get(net, ()))) if design.site[cell]}
        if 1 < len(cells) <= _WIDE:
            nets.append(sorted(cells))
    return nets


def _groups(design, tiles):
    """Fields of the groups; each block is one by itself."""
    groups = LogicGroups(design, tiles)
    members = {**groups.members, **{cell: [cell] for cell, kind in enumerate(design.types) if kind in BLOCK_TYPES}}
    names = sorted(members)
    group = np.full(len(design.types), -1, dtype=np.int32)
    for number, name in enumerate(names):
        group[members[name]] = number
    return {
        "group": group, "loose": np.array([groups.any_slot(name) for name in names], dtype=np.bool_),
        **_ragged("first_member", "member", [members[name] for name in names]),
    }


def _all_sites(device):
    return [site for kind in BLOCK_TYPES for site in block_sites(device, kind)]


def _sites(design, device):
    """Fields of the places of blocks; block RAMs share no signals, so they are in no group."""
    sites = _all_sites(device)
    counts = {kind: len(block_sites(device, kind)) for kind in BLOCK_TYPES}
    first, begin = {}, 0
    for kind, count in counts.items():
        first[kind], begin = begin, begin + count
    groups = [group if SIGNALS[kind] else -1 for kind in BLOCK_TYPES for *_, group in block_sites(device, kind)]
    signals, _ = _numbered([
        tuple(frozenset(net for port, bits in design.nets(cell).items() if port.startswith(name) and port[len(name):].isdigit()
                        for net in bits) for name in SIGNALS.get(kind, ()))
        for cell, kind in enumerate(design.types)])
    return {
        "site_x": _integers(x for x, *_ in sites), "site_y": _integers(y for _, y, *_ in sites),
        "site_group": _integers(groups),
        "first_site": _integers(first.get(kind, 0) for kind in design.types),
        "site_count": _integers(counts.get(kind, 0) for kind in design.types),
        "signals": signals,
    }


def _integers(values: Iterable[int]):
    return np.array(list(values), dtype=np.int32)


def _numbered(values):
    """Number different values; return the number of each and the values by number."""
    numbers = {}
    return _integers(numbers.setdefault(value, len(numbers)) for value in values), list(numbers)


def _ragged(first_name, flat_name, rows):
    """Rows of different length one after the other, and where each begins."""
    return {first_name: _integers(np.cumsum([0, *(len(row) for row in rows)])),
            flat_name: _integers(value for row in rows for value in row)}
