"""What a matrix layer may be cut into: tiles of output pixels and groups of output channels.

A `MatrixPlan` says how, in a few numbers; `choices` lists values worth comparing. Small pieces at the ends of a
layer let the engines start early and end soon after one another, large ones between them need few commands.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import ceil

from systolith_spec.config import AcceleratorConfig

__all__ = ["MatrixPlan", "Tile", "choices", "cut", "refinements"]


@dataclass(frozen=True)
class Tile:
    """Output pixels [y0, y1) x [x0, x1)."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def pixels(self) -> int:
        """Number of output pixels."""
        return (self.y1 - self.y0) * (self.x1 - self.x0)


@dataclass(frozen=True)
class MatrixPlan:
    """How a layer is cut.

    Attributes
    ----------
    pixels : int
        Output pixels of a tile, about.
    blocks : int
        Blocks of `cols` output channels in a group, at most.
    tiles_rise, tiles_fall : bool
        The first (last) tiles are smaller.
    groups_rise, groups_fall : bool
        The first (last) groups are smaller.
    last_blocks : int
        Blocks in the last group, if not 0; the others are shared among the groups before.
    chunks : int
        Chunks of array rows in a slice of the reduction, at most (1x1 kernels on inputs that stay on chip).
    last_chunks : int
        The same for the last group, if less; slices of the groups between shrink gradually.
    slices_rise, slices_fall : bool
        The first slices of the first (last ones of the last) group are smaller.
    together : int
        So many of the first tiles go through the groups together, so that each group's weights last longer while the
        others arrive.
    store_twice : bool
        The last tile is stored in two pieces: all groups but the last, and the last.
    end_halves : bool
        The pixels of the last tile and group are requantised and stored in two halves.
    records_together : bool
        One command loads the parameter records of as many groups as fit.
    """

    pixels: int
    blocks: int
    tiles_rise: bool = False
    tiles_fall: bool = False
    groups_rise: bool = False
    groups_fall: bool = False
    last_blocks: int = 0
    chunks: int = 1 << 16
    last_chunks: int = 1 << 16
    slices_rise: bool = False
    slices_fall: bool = False
    together: int = 1
    store_twice: bool = False
    end_halves: bool = False
    records_together: bool = False


def cut(total: int, step: int, least: int, *, rise: bool = False, fall: bool = False,
        descending: bool = False) -> list[tuple[int, int]]:
    """Cut `total` into pieces of at most `step`, nearly equal but for smaller ones at the ends.

    Parameters
    ----------
    total, step : int
    least : int
        Size of the first (last) piece with `rise` (`fall`); the next ones double.
    descending : bool
        Of the nearly equal pieces the larger ones come first: in a ring each fits where the one before it was.

    Returns
    -------
    list of tuple of int
        First and one past the last of each piece.
    """
    head: list[int] = []
    size = min(least, step)
    while size < step and (rise or fall) and sum(head) * (rise + fall) + size * (rise + fall) + least <= total:
        head.append(size)
        size *= 2
    middle = total - sum(head) * (rise + fall)
    count = ceil(middle / step)
    sizes = [middle * (i + 1) // count - middle * i // count for i in range(count)]
    if descending:
        sizes.sort(reverse=True)
    sizes = head * rise + sizes + head[::-1] * fall
    stops = [sum(sizes[:i + 1]) for i in range(len(sizes))]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def choices(config: AcceleratorConfig, usual: MatrixPlan, pixels: int, blocks: int, *, loads: bool = False,
            stores: bool = False) -> list[list[dict]]:
    """Changes of a plan worth trying.

    Parameters
    ----------
    config : AcceleratorConfig
    usual : MatrixPlan
    pixels, blocks : int
        Output pixels, and blocks of output channels, of the layer.
    loads, stores : bool
        Whether its input is loaded meanwhile, and its output stored.

    Returns
    -------
    list of list of dict
        Coordinates and their values.
    """
    groups = sorted({1, usual.blocks, blocks} | {count for count in (2, 4, 8, 16, 32) if count < blocks})
    flags = (False, True)
    if pixels < config.rows:
        # Loading weights is all that counts: the fewest commands, with small pieces at the ends.
        ends = "groups_fall", "slices_rise", "slices_fall"
        counts = sorted({1, min(8, blocks), min(config.table_channels // config.cols, blocks), blocks})
        coordinates = [[{"blocks": count, "chunks": chunks} for count, chunks in product(counts, (1 << 16, 2, 4, 8, 16))],
                       [dict(zip(ends, values, strict=True)) for values in product(flags, repeat=3)]]
        return coordinates + [[{"store_twice": flag} for flag in flags]] * stores
    sizes = {config.rows, 2 * config.rows, 4 * config.rows, usual.pixels, config.accumulator_depth}
    coordinates = [[{"pixels": size} for size in sorted(sizes) if size < 2 * pixels], [{"blocks": count} for count in groups]]
    # Slices of the first group can start before the last channels of its inputs are there.
    ends = "tiles_rise", "tiles_fall", "groups_rise", "groups_fall", "slices_rise"
    coordinates += [[{name: flag} for flag in flags] for name in ends]
    if loads:
        coordinates.append([{"together": count} for count in (1, 2, 4)])
    if stores:
        coordinates.append([{"store_twice": twice, "end_halves": halves} for twice, halves in (
            (False, False), (True, False), (False, True))])
    return coordinates


def _two_groups(config: AcceleratorConfig, blocks: int) -> list[dict]:
    """Two groups: as many blocks as slices of few chunks can have that fill half the weight buffer, and the rest."""
    tiles = config.weight_bytes // 2 // config.tile_bytes
    return [{"blocks": tiles // chunks, "chunks": chunks, "last_blocks": blocks - tiles // chunks}
            for chunks in (8, 9, 10, 11, 12, 16) if blocks / 2 < tiles // chunks < blocks]


def refinements(config: AcceleratorConfig, plan: MatrixPlan, blocks: int) -> list[dict]:
    """Changes of the plan of a layer of few pixels worth trying in the whole program.

    Loading weights is all that counts there. A trial of the layer alone rewards small slices, with which it ends
    early; but before the end of a program a late end costs nothing, and the commands of each slice delay all others.
    """
    changes: list[dict] = [{"chunks": count} for count in (1 << 16, 16, 8, 6, 4, 2)]
    changes += [{"last_chunks": count} for count in (1 << 16, 6, 3, 1)]
    changes += [{"blocks": count} for count in (plan.blocks // 2, plan.blocks * 2, plan.blocks - 2) if count > 0]
    changes += [{name: not getattr(plan, name)} for name in ("records_together", "slices_rise", "slices_fall")]
    changes += _two_groups(config, blocks)
    return [change for change in changes if replace(plan, **change) != plan]
