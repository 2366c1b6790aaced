"""Places of block RAMs and multipliers on an ECP5."""

__all__ = ["BLOCK_COLUMNS", "BLOCK_TYPES", "SIGNALS", "block_sites"]

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
BLOCK_TYPES = tuple(sorted(_MEMBERS))
SIGNALS = {"DP16KD": (), "MULT18X18D": ("CLK", "CE", "RST")}
"""Inputs of a block, with a number behind, of which its group has four different ones at most."""


def block_sites(device: str, kind: str) -> list[tuple[int, int, str, int]]:
    """Return column, row, name and number of the group of all places of a kind of block."""
    prefix, members = _MEMBERS[kind]
    columns = BLOCK_COLUMNS[device]
    return [(first + offset, row, f"{prefix}{number}", index * len(columns) + group)
            for index, row in enumerate(_ROWS[device][kind]) for group, first in enumerate(columns)
            for offset, number in members]
