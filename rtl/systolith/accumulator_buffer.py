"""Accumulator buffer: 32-bit sums of one output tile while the array computes the next."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Component, In, Out

from systolith.block_ram import block_ram
from systolith.delay import delay
from systolith_spec.timing import ACCUMULATE_CYCLES

__all__ = ["AccumulatorBuffer", "AccumulatorReadPort"]


class AccumulatorReadPort(wiring.PureInterface):
    """Read of one accumulator entry.

    A request is accepted in a cycle with ``valid & ready``; ``data_valid`` and ``data`` follow exactly
    ``AccumulatorBuffer.read_latency`` cycles later, in order. Responses cannot be refused.

    Members
    -------
    entry : ``Out(range(config.accumulator_entries))``
        Must not change while a request waits.
    valid, ready : ``Out(1)``, ``In(1)``
        Request handshake. ``ready`` is low while the array updates the half that ``entry`` is in.
    data_valid : ``In(1)``
        A response is present.
    data : ``In(ArrayLayout(signed(32), cols))``
        The sums, column 0 first.
    """

    class Signature(wiring.Signature):
        """Signature for one configuration."""

        def __init__(self, config):
            super().__init__({
                "entry": Out(range(config.accumulator_entries)),
                "valid": Out(1),
                "ready": In(1),
                "data_valid": In(1),
                "data": In(data.ArrayLayout(signed(32), config.cols)),
            })

        def __eq__(self, other):
            return type(self) is type(other) and self.members == other.members

        def create(self, *, path=None, src_loc_at=0):
            return AccumulatorReadPort(self, path=path, src_loc_at=1 + src_loc_at)


class AccumulatorBuffer(Component):
    """Two block RAMs of ``accumulator_depth`` entries of ``cols`` 32-bit sums, updated one entry per cycle.

    Dataflow of an update: its address takes a register, the entry is read (two cycles) and takes another register; the sums
    of the array are added in the next cycle and written in the one after, so the same entry may be updated again
    ``update_distance`` cycles later. Additions wrap around modulo 2**32. The top bit of an entry index selects the half;
    updates go to one half while the vector engine reads the other. A read of the half in which an update must read waits;
    overwriting updates do not read.

    A reset drops reads, and updates but one whose sums have been added.

    A read accepted in the cycle after the one in which ``update_retire`` follows an update, or later, sees it.

    Parameters
    ----------
    config : AcceleratorConfig

    Members
    -------
    updates : ``In(stream.Signature(StructLayout({"entry", "overwrite"}), always_ready=True))``
        The entry to update; ``overwrite`` discards what it held. Always ready: the array cannot stop.
    sums : ``In(ArrayLayout(signed(sum_width), cols))``
        The sums of an update, ``sum_delay`` cycles after it.
    read : ``In(AccumulatorReadPort.Signature(config))``
    """

    sum_delay = ACCUMULATE_CYCLES - 1
    """Cycles from an update to the sums that belong to it."""
    update_latency = ACCUMULATE_CYCLES - 1
    """Cycles from an update to the last in which an accepted read does not see it: both have the same register."""
    update_distance = ACCUMULATE_CYCLES
    """Smallest distance in cycles of two updates of one entry."""
    read_latency = 4
    """Cycles from an accepted read to its data."""

    def __init__(self, *, config):
        self._config = config
        entry_shape = range(config.accumulator_entries)
        super().__init__({
            "updates": In(stream.Signature(data.StructLayout({"entry": entry_shape, "overwrite": 1}),
                                           always_ready=True)),
            "sums": In(data.ArrayLayout(signed(config.sum_width), config.cols)),
            "read": In(AccumulatorReadPort.Signature(config)),
        })

    @property
    def config(self):
        """The configuration."""
        return self._config

    def elaborate(self, platform):
        m = Module()
        cols = self.config.cols
        update, read = self.updates.payload, self.read
        fetch = self.updates.valid & ~update.overwrite
        m.d.comb += read.ready.eq(~(fetch & (update.entry[-1] == read.entry[-1])))

        # Cycle 0: address. Cycles 1 and 2: read. Cycle 3: half. Cycle 4: add.
        s3_overwrite = delay(m, update.overwrite, 3, name="overwrite")
        s5_entry = delay(m, update.entry, 5, name="entry")
        write = Mux(self.updates.valid, Cat(~update.entry[-1], update.entry[-1]), 0)
        s4_write = delay(m, write, 4, name="write", reset_less=False)
        # The ways to the block RAMs are long: these registers have no logic before them, not even a reset.
        s5_write = Signal(2, reset_less=True)
        m.d.sync += s5_write.eq(s4_write)
        words = []
        s4_word = Signal(32 * cols, reset_less=True)
        s5_sums = Signal(32 * cols, reset_less=True)
        for half in range(2):
            m.submodules[f"half_{half}"] = ram = block_ram(
                style=self.config.multiplier_style, width=32 * cols, depth=self.config.accumulator_depth)
            updating = fetch & (update.entry[-1] == half)
            s1_addr = Signal(len(update.entry) - 1, name=f"s1_addr_{half}", reset_less=True)
            m.d.sync += s1_addr.eq(Mux(updating, update.entry[:-1], read.entry[:-1]))
            m.d.comb += [
                ram.r_en.eq(1),
                ram.r_addr.eq(s1_addr),
                # Cycle 5: write.
                ram.w_en.eq(s5_write[half]),
                ram.w_addr.eq(s5_entry[:-1]),
                ram.w_data.eq(s5_sums),
            ]
            words.append(ram.r_data)
        s3_half = delay(m, update.entry[-1], 3, name="half")
        m.d.sync += s4_word.eq(Mux(s3_overwrite, 0, Mux(s3_half, words[1], words[0])))
        for col in range(cols):
            m.d.sync += s5_sums.word_select(col, 32).eq(s4_word.word_select(col, 32).as_signed() + self.sums[col])

        # Reads: the words of both halves, one of them one cycle later.
        read_half = delay(m, read.entry[-1], 3, name="read_half")
        read_data = Signal(32 * cols, reset_less=True)
        m.d.sync += read_data.eq(Mux(read_half, words[1], words[0]))
        m.d.comb += [
            read.data.eq(read_data),
            read.data_valid.eq(delay(m, read.valid & read.ready, self.read_latency, name="read_valid",
                                     reset_less=False)),
        ]
        return m
