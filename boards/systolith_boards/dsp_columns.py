"""Placement of an array's multipliers on an ECP5-85F: each column in DSP blocks one above the other."""

import re

from systolith_boards.placement.block_sites import BLOCK_COLUMNS, block_sites
from systolith_boards.tools import SynthesisError

__all__ = ["place_columns"]

_DEVICE, _KIND = "LFE5U-85F", "MULT18X18D"
_BLOCK = 4  # multipliers of a DSP block
_MODULE = re.compile(r"^module \\?(\S*pe_(\d+)_(\d+)\.multiplier)\s.*?^endmodule", re.DOTALL | re.MULTILINE)


def place_columns(verilog: str, rows: int, cols: int) -> str:
    """Return the Verilog of an array with the places of its multipliers.

    nextpnr spreads the multipliers of a large array over the three rows of DSP blocks, and the routes between them
    then limit the clock.

    Parameters
    ----------
    verilog : str
        An array in its ECP5 form, with a MULT18X18D for every processing element.
    rows, cols : int
        Geometry, at most 12 x 13.

    Returns
    -------
    str

    Raises
    ------
    SynthesisError
        The array has more rows or columns than there are places, or other multipliers.
    """
    sites = block_sites(_DEVICE, _KIND)  # row by row, block by block
    blocks_in_row = len(BLOCK_COLUMNS[_DEVICE])
    if rows > len(sites) // blocks_in_row or cols > blocks_in_row:
        raise SynthesisError(f"Array must be at most 12 x 13 to be placed by columns, not {rows} x {cols}")
    first = (blocks_in_row - cols) // 2

    def place(match):
        row, col = int(match[2]), int(match[3])
        block, index = divmod(row, _BLOCK)
        x, y, site, _ = sites[(block * blocks_in_row + first + col) * _BLOCK + index]
        bel = f"X{x}/Y{y}/{site}"
        return match[0].replace("  MULT18X18D #(", f'  (* BEL = "{bel}" *)\n  MULT18X18D #(', 1)

    placed, count = _MODULE.subn(place, verilog)
    if count != rows * cols or placed.count("BEL = ") != count:
        raise SynthesisError(f"Array must have {rows * cols} MULT18X18D, not {placed.count('BEL = ')}")
    return placed
