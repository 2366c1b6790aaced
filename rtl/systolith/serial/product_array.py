"""Array of multipliers with held weights, the sums of its columns, and their accumulators."""

from amaranth import *
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from systolith.primitives.families import HELD_MULTIPLIER_PAIRS

__all__ = ["ProductArray"]


class ProductArray(Component):
    """Vectors times a weight tile, added to accumulators: a vector per cycle.

    Dataflow: vector -> registers of the multipliers -> products -> sums of the columns -> accumulator entry, which is read
    when the sums are made and written with them added. The upper half of the accumulator memory is never written: read
    there, it is the zero that a first tile starts from.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    vector : ``In(8 * rows)``, valid : ``In(1)``
        Vector to multiply.
    weights : ``In(32)``, load : ``In(rows * cols // 4)``
        Four weights, and whose they are: tile bytes 4i to 4i + 3 for bit i.
    entry : ``In``, set_entry : ``In(1)``
        Entry of the next vector; each vector goes to the next one. Selects column 0.
    overwrite : ``In(1)``
        The entries start from zero.
    next_column : ``In(1)``
        Select the next column.
    column : ``Out(signed(32))``
        Sum of the selected column of the entry, two cycles after it was set.
    busy : ``Out(1)``
        There are sums to be written.
    """

    def __init__(self, *, config):
        self._config = config
        self._entry_width = (config.accumulator_entries - 1).bit_length()
        super().__init__({
            "vector": In(8 * config.rows), "valid": In(1), "weights": In(32), "load": In(config.tile_bytes // 4),
            "entry": In(self._entry_width), "set_entry": In(1), "overwrite": In(1), "next_column": In(1),
            "column": Out(signed(32)), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        s3_sums = [Signal(signed(config.sum_width), name=f"s3_sum_{column}", reset_less=True) for column in range(config.cols)]
        for column in range(0, config.cols, 2):
            products = ([], [])
            for row in range(config.rows):
                place = row * config.cols + column
                pair = HELD_MULTIPLIER_PAIRS[config.multiplier_style]()
                m.submodules[f"multipliers_{row}_{column}"] = pair
                m.d.comb += [
                    pair.a.eq(self.vector.word_select(row, 8)),
                    pair.b[0].eq(self.weights.word_select(place % 4, 8)),
                    pair.b[1].eq(self.weights.word_select(place % 4 + 1, 8)),
                    pair.load.eq(self.load[place // 4]),
                ]
                for side in range(2):
                    products[side].append(pair.p[side])
            for side in range(2):
                m.d.sync += s3_sums[column + side].eq(_tree(products[side]))
        s1_valid, s2_valid, s3_valid = (Signal(name=f"s{stage}_valid") for stage in (1, 2, 3))
        m.d.sync += [s1_valid.eq(self.valid), s2_valid.eq(s1_valid), s3_valid.eq(s2_valid)]
        m.d.comb += self.busy.eq(self.valid | s1_valid | s2_valid | s3_valid)
        self._accumulate(m, s3_sums, s2_valid, s3_valid)
        return m

    def _accumulate(self, m, sums, reading, writing):
        config = self._config
        memory = Memory(shape=32 * config.cols, depth=2 << self._entry_width, init=[], attrs={"no_rw_check": 1})
        m.submodules.accumulators = memory
        read, write = memory.read_port(), memory.write_port()
        entry = Signal(self._entry_width, reset_less=True)
        s3_entry = Signal(self._entry_width, reset_less=True)
        selected = Signal(range(config.cols), reset_less=True)
        with m.If(self.set_entry):
            m.d.sync += [entry.eq(self.entry), selected.eq(0)]
        with m.Elif(reading):
            m.d.sync += entry.eq(entry + 1)
        with m.If(self.next_column):
            m.d.sync += selected.eq(selected + 1)
        m.d.sync += s3_entry.eq(entry)
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(Cat(entry, self.overwrite)),
            write.en.eq(writing),
            write.addr.eq(s3_entry),
            *(write.data.word_select(column, 32).eq(read.data.word_select(column, 32) + total)
              for column, total in enumerate(sums)),
            self.column.eq(read.data.word_select(selected, 32)),
        ]


def _tree(terms):
    """Sum of an even number of terms, by halves."""
    return terms[0] if len(terms) == 1 else _tree(terms[:len(terms) // 2]) + _tree(terms[len(terms) // 2:])
