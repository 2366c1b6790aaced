"""Placement of an array's multipliers by columns."""

import re

import pytest

from systolith.systolic_array import SystolicArray
from systolith.verilog import to_verilog
from systolith_boards.dsp_columns import place_columns
from systolith_boards.tools import SynthesisError


def array(rows, cols, style="ecp5"):
    return to_verilog(SystolicArray(rows=rows, cols=cols, style=style), "array")


def test_each_multiplier_has_a_place_of_its_own():
    text = place_columns(array(5, 3), 5, 3)
    places = re.findall(r'BEL = "X(\d+)/Y(\d+)/MULT18_(\d)" \*\)\n  MULT18X18D', text)
    assert len(places) == len(set(places)) == 15
    # Four rows in a block, the fifth in the block above; z counts the columns of tiles of a block.
    blocks = {(int(x) - int(z), int(y)) for x, y, z in places}
    assert sorted(y for _, y in blocks) == [10, 10, 10, 34, 34, 34] and len({x for x, _ in blocks}) == 3
    assert re.sub(r" *\(\* BEL = .*\n", "", text) == array(5, 3)


@pytest.mark.parametrize(("rows", "cols", "style", "message"), [
    (13, 2, "ecp5", "Array must be at most 12 x 13 to be placed by columns, not 13 x 2"),
    (2, 14, "ecp5", "Array must be at most 12 x 13 to be placed by columns, not 2 x 14"),
    (2, 2, "generic", "Array must have 4 MULT18X18D, not 0"),
])
def test_refusals(rows, cols, style, message):
    with pytest.raises(SynthesisError, match=f"^{message}$"):
        place_columns(array(rows, cols, style), rows, cols)
