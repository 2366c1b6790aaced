"""What a matrix layer may be cut into: tiles of output pixels and groups of output channels.

A `MatrixPlan` says how, in a few numbers; `choices` lists values worth comparing. Small pieces at the ends of a
layer let the engines start early and end soon after one another, large ones between them need few commands.
"""

from dataclasses import dataclass
from math import ceil

from systolith_spec.config import AcceleratorConfig

__all__ = ["MatrixPlan", "Tile", "choices", "cut"]


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
    """

    pixels: int
    blocks: int
    tiles_rise: bool = False
    tiles_fall: bool = False
    groups_rise: bool = False
    groups_fall: bool = False


def cut(total: int, step: int, least: int, *, rise: bool = False, fall: bool = False) -> list[tuple[int, int]]:
    """Cut `total` into pieces of at most `step`, nearly equal but for smaller ones at the ends.

    Parameters
    ----------
    total, step : int
    least : int
        Size of the first (last) piece with `rise` (`fall`); the next ones double.

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
    sizes = head * rise + sizes + head[::-1] * fall
    stops = [sum(sizes[:i + 1]) for i in range(len(sizes))]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def choices(config: AcceleratorConfig, usual: MatrixPlan, pixels: int, blocks: int) -> list[tuple[str, list]]:
    """Values worth trying for each attribute of a plan, for a layer of so many output pixels and blocks."""
    flags = [False, True]
    sizes = {config.rows, 2 * config.rows, 4 * config.rows, usual.pixels, config.accumulator_depth}
    groups = {1, usual.blocks, blocks} | {count for count in (2, 4, 8, 16, 32) if count < blocks}
    return [
        ("pixels", sorted(size for size in sizes if size < 2 * pixels) if pixels > 1 else []),
        ("blocks", sorted(groups)),
        ("tiles_rise", flags if pixels > 1 else []), ("tiles_fall", flags if pixels > 1 else []),
        ("groups_rise", flags if blocks > 1 else []), ("groups_fall", flags if blocks > 1 else []),
    ]
