"""Placement of an array's multipliers on an ECP5-85F: each column in DSP blocks one above the other."""

import re

from systolith_boards.tools import SynthesisError

__all__ = ["place_columns"]

# Three rows of thirteen DSP blocks of four multipliers, as nextpnr names them.
_BLOCKS_X = (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)
_BLOCKS_Y = (10, 34, 58)
_PLACES = (0, 1, 4, 5)
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
    if rows > len(_BLOCKS_Y) * len(_PLACES) or cols > len(_BLOCKS_X):
        raise SynthesisError(f"Array must be at most 12 x 13 to be placed by columns, not {rows} x {cols}")
    first = (len(_BLOCKS_X) - cols) // 2

    def place(match):
        row, col = int(match[2]), int(match[3])
        block, index = divmod(row, len(_PLACES))
        z = _PLACES[index]
        bel = f"X{_BLOCKS_X[first + col] + z}/Y{_BLOCKS_Y[block]}/MULT18_{z}"
        return match[0].replace("  MULT18X18D #(", f'  (* BEL = "{bel}" *)\n  MULT18X18D #(', 1)

    placed, count = _MODULE.subn(place, verilog)
    if count != rows * cols or placed.count("BEL = ") != count:
        raise SynthesisError(f"Array must have {rows * cols} MULT18X18D, not {placed.count('BEL = ')}")
    return placed
