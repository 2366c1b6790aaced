"""Choice of the positions that give sums in column mode."""

import random

from systolith.column_selector import ColumnSelector
from systolith_golden.column_product import output_positions
from systolith_sim.pysim import simulate


def test_positions_of_random_tiles():
    dut = ColumnSelector()
    generator = random.Random(1)
    selected = 0

    async def testbench(ctx):
        nonlocal selected
        for _ in range(60):
            rows, columns = generator.randint(1, 6), generator.randint(1, 9)
            fields = {"column_mode": 1, "y_count": rows, "x_count": columns, "skip_rows": generator.randrange(rows),
                      "valid_columns": generator.randint(1, columns), "column_step": generator.randint(1, 3)}
            want = set(output_positions(fields).tolist())
            for name in ("skip_rows", "valid_columns", "column_step"):
                ctx.set(getattr(dut, name), fields[name])
            ctx.set(dut.no_skip, fields["skip_rows"] == 0)
            for position in range(rows * columns):
                ctx.set(dut.first_row, position < columns)
                ctx.set(dut.first_column, position % columns == 0)
                ctx.set(dut.last_column, position % columns == columns - 1)
                ctx.set(dut.take, 0)
                await ctx.tick().repeat(generator.randint(1, 2))
                assert ctx.get(dut.selected) == (position in want)
                selected += position in want
                ctx.set(dut.take, 1)
                await ctx.tick()

    simulate(dut, testbench, timeout_cycles=20_000)
    assert selected > 100
