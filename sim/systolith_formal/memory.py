"""Proofs about the AXI4 manager: read arbiter, runs, bursts, LOAD, STORE and the command fetcher."""

from dataclasses import replace
from functools import partial

from amaranth import *
from amaranth.utils import exact_log2

from systolith.axi_read_arbiter import AxiReadArbiter
from systolith.burst_splitter import BurstSplitter
from systolith.command_fetcher import CommandFetcher
from systolith.load_engine import LoadEngine
from systolith.store_engine import StoreEngine
from systolith.transfer_walker import TransferWalker
from systolith_spec.dma_timing import burst_bytes
from systolith_spec.presets import preset
from systolith_spec.widths import buffer_address_width

from .contracts import counted, offered_stays
from .mutation import Mutant
from .proof import Proof

__all__ = ["PROOFS"]

_SMALL = replace(preset("tiny-4x4"), name="formal", burst_beats=4, outstanding_reads=2)
_BEAT = _SMALL.axi_bytes
_PAGE = 4096


def _arbiter(bench):
    """Each reader's requests reach the bus in order with its id; data goes to the reader of its id."""
    m = bench.m
    m.submodules.dut = dut = AxiReadArbiter(config=_SMALL)
    readers = {0: dut.load, 1: dut.fetch}
    for reader in readers.values():
        bench.drive(reader.ar.valid, reader.r.ready)
        m.d.comb += reader.ar.payload.addr.eq(bench.free(2, f"address_{len(bench.inputs)}") << 2)
    bench.drive(dut.bus.ar.ready, dut.bus.r.valid, dut.bus.r.payload)
    offered_stays(bench, dut.bus.ar, name="bus_ar")
    taken = dut.bus.ar.valid & dut.bus.ar.ready
    for number, reader in readers.items():
        name = f"reader_{number}"
        put, take = reader.ar.valid & reader.ar.ready, taken & (dut.bus.ar.payload.id == number)
        items = counted(bench, put, take, most=2, name=name)
        bench.check(~take | (items != 0))
        choose, followed = bench.free(1, f"{name}_choose"), Signal(name=f"{name}_followed")
        chosen, ahead = Signal(32, name=f"{name}_chosen"), Signal.like(items, name=f"{name}_ahead")
        with m.If(followed & take):
            m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
        with m.Elif(~followed & choose & put):
            m.d.sync += [followed.eq(1), chosen.eq(reader.ar.payload.addr), ahead.eq(items - take)]
        bench.check(~(followed & take & (ahead == 0)) | (dut.bus.ar.payload.addr == chosen))
        mine = dut.bus.r.payload.id == number
        bench.check(reader.r.valid == (dut.bus.r.valid & mine))
        bench.check(~mine | (dut.bus.r.ready == reader.r.ready))
        bench.check(~reader.r.valid | (reader.r.payload.data == dut.bus.r.payload.data))
    # The fetcher is not kept waiting by LOAD.
    bench.check(~(dut.fetch.ar.valid & ~dut.fetch.ar.ready) | ~dut.load.ar.ready)


def _splitter(bench):
    """The bursts of a run follow each other from its first byte to its last, none across 4 KiB."""
    m = bench.m
    m.submodules.dut = dut = BurstSplitter(config=_SMALL)
    run, burst = dut.runs.payload, dut.bursts.payload
    chunk_log2, beat_log2 = exact_log2(burst_bytes(_SMALL)), exact_log2(_BEAT)
    bench.drive(dut.runs.valid, run.first, run.buffer, run.last, dut.bursts.ready, dut.abort)
    # Few enough bursts for the solver: runs of up to eight chunks, anywhere near a multiple of 4 KiB.
    m.d.comb += [run.end.eq(bench.free(chunk_log2 + 3, "end")),
                 run.chunk.eq((_PAGE >> chunk_log2) - 4 + bench.free(3, "chunk"))]
    bench.assume(run.end >= run.first)  # distance from the start of the chunk to the last byte; the walker's proof
    offered_stays(bench, dut.bursts, name="bursts", unless=dut.abort)
    put, take = dut.runs.valid & dut.runs.ready, dut.bursts.valid & dut.bursts.ready
    here, following, end = Signal(32), Signal(32), Signal(32)
    busy, fresh, last_run = Signal(), Signal(), Signal()
    start = Cat(run.first, run.chunk)
    first = Cat(burst.first_lane, burst.address[beat_log2:])
    length = (burst.len << beat_log2) + burst.last_lane + 1
    done = Signal(32)
    m.d.comb += done.eq(burst.address + length)
    finishes = done == end
    with m.If(take):
        m.d.sync += [following.eq(done), fresh.eq(0), busy.eq(~finishes)]
    with m.If(put):
        m.d.sync += [here.eq(start), end.eq(Cat(Const(0, chunk_log2), run.chunk) + run.end + 1), busy.eq(1), fresh.eq(1),
                     last_run.eq(run.last)]
    with m.If(dut.abort):
        m.d.sync += busy.eq(0)
    bench.check(~dut.bursts.valid | busy)
    bench.check(~busy | dut.bursts.valid)
    bench.check(~put | ~busy | (take & finishes) | bench.past(dut.abort, "abort"))
    with m.If(dut.bursts.valid):
        bench.check(first == Mux(fresh, here, following))
        bench.check(burst.run_first == fresh)
        bench.check((burst.address & (_PAGE - 1)) + (burst.len << beat_log2) + _BEAT <= _PAGE)
        bench.check(burst.len < _SMALL.burst_beats)
        bench.check(burst.last == (finishes & last_run))
        bench.check((first + 1 <= end) & (done <= end))


def _walker(bench, name="STORE", count_width=2):
    """Every run that leaves lies in the range, and tells its own length; aborts apart, offers stay."""
    m = bench.m
    m.submodules.dut = dut = TransferWalker(config=_SMALL, name=name)
    command, run = dut.command.payload, dut.runs.payload
    bench.drive(dut.command.valid, dut.abort, dut.runs.ready)
    m.d.comb += [dut.command.payload.eq(bench.free(512, "command")), dut.limit.eq(bench.constant(32, "limit")),
                 dut.base.eq(bench.constant(20, "base") << 12)]
    writable = bench.constant(32, "writable") if name == "STORE" else 0
    if name == "STORE":
        m.d.comb += dut.writable.eq(writable)
    # No limit: up to the end of the address space, so that no run goes on at offset 0.
    limit = Mux(dut.limit == 0, 1 << 32, dut.limit)
    offered_stays(bench, dut.runs, name="runs", unless=dut.abort)
    # The lengths of the command that is under way and of the two before, whose last runs may still wait.
    lengths = [Signal(24, name=f"length_{index}") for index in range(3)]
    with m.If(dut.command.valid & dut.command.ready):
        m.d.sync += [new.eq(old) for new, old in zip(lengths, [command.length, *lengths[:2]], strict=True)]
    bytes_of_run, offset = Signal(26), Signal(33)
    m.d.comb += [bytes_of_run.eq(run.end - run.first + 1), offset.eq((Cat(run.first, run.chunk) - dut.base)[:32])]
    # A command that is longer than a buffer has no meaning, and may be cut short; it still stays in its range.
    most = 1 << (buffer_address_width(_SMALL) + 1)
    with m.If(dut.runs.valid):
        bench.check(Cat((bytes_of_run == length) | (length > most) for length in lengths).any())
        bench.check((offset >= writable) & (offset + bytes_of_run <= limit))
        bench.check((run.end >= run.first) & Cat(length != 0 for length in lengths).any())
    with m.If(dut.out_of_range):
        refused = (offset < writable) | (offset + bytes_of_run > limit)
        bench.check(refused | Cat((length == 0) | (length > most) for length in lengths).any())


class _Bus:
    """Counts what an AXI4 memory has been asked for and answered, in beats and bursts."""

    def __init__(self, bench, *, request, name):
        self.fire = request.valid & request.ready
        offered_stays(bench, request, name=name)
        payload = request.payload
        with bench.m.If(request.valid):
            bench.check((payload.addr & (_PAGE - 1)) + (payload.len << exact_log2(_BEAT)) + _BEAT <= _PAGE)
            bench.check((payload.addr & (_BEAT - 1)) == 0)
            bench.check(payload.len < _SMALL.burst_beats)


def _transfer_command(bench, engine):
    """Short transfers around a multiple of 4 KiB, with any alignment, steps and limit; two loops of up to two runs."""
    m, command = bench.m, engine.command.payload
    near = _PAGE - 32
    for name, width in (("length", 5), ("memory_step_1", 6), ("memory_step_2", 6), ("buffer", 3)):
        m.d.comb += getattr(command, name).eq(bench.free(width, name))
    for name in ("count_1", "count_2"):
        m.d.comb += getattr(command, name).eq(bench.free(1, name) + 1)
    m.d.comb += [command.memory.eq(near + bench.free(6, "memory")), engine.base.eq(_PAGE)]
    limit = bench.constant(7, "limit")
    m.d.comb += engine.limit.eq(Mux(limit == 0, 0, near + limit))
    bench.drive(engine.command.valid)


def _load(bench):
    """LOAD as AXI4 manager."""
    m = bench.m
    m.submodules.dut = dut = LoadEngine(config=_SMALL)
    _transfer_command(bench, dut)
    bench.drive(dut.abort, dut.activation.ready, dut.axi.ar.ready, dut.axi.r.valid, dut.axi.r.payload.data)
    bus = _Bus(bench, request=dut.axi.ar, name="ar")
    # A memory: data only for what was requested, in order, `last` with the last beat.
    asked = [Signal(9, name=f"asked_{index}") for index in range(3)]
    bursts = Signal(range(4))
    beat = dut.axi.r.valid & dut.axi.r.ready
    last = asked[0] == 1
    done = beat & last
    bench.assume(~dut.axi.r.valid | (bursts != 0))
    m.d.comb += dut.axi.r.payload.last.eq(last)
    with m.If(done):
        m.d.sync += [asked[0].eq(asked[1]), asked[1].eq(asked[2])]
    with m.Elif(beat):
        m.d.sync += asked[0].eq(asked[0] - 1)
    for index, slot in enumerate(asked):
        with m.If(bus.fire & (bursts - done == index)):
            m.d.sync += slot.eq(dut.axi.ar.payload.len + 1)
    m.d.sync += bursts.eq(bursts + bus.fire - done)
    offered_stays(bench, dut.axi.r, name="r", enforce="assume")
    bench.check(bursts <= _SMALL.outstanding_reads)
    # An engine that is not busy has been answered everything.
    bench.check(dut.busy | (bursts == 0))
    # Waiting data is accepted as long as the buffers take it.
    refused = Signal(4)
    m.d.sync += refused.eq(Mux(dut.axi.r.valid & ~dut.axi.r.ready & dut.activation.ready, refused + ~refused.all(), 0))
    bench.check(refused <= 4)
    # Buffer writes stay until taken.
    waiting = bench.past(dut.activation.valid & ~dut.activation.ready, "write")
    before = bench.past(Cat(dut.activation.addr, dut.activation.data, dut.activation.mask), "write_payload")
    bench.check(~waiting | (dut.activation.valid
                            & (Cat(dut.activation.addr, dut.activation.data, dut.activation.mask) == before)))


def _store(bench):
    """STORE as AXI4 manager: bursts, WLAST, strobes inside the range, responses."""
    m = bench.m
    m.submodules.dut = dut = StoreEngine(config=_SMALL)
    _transfer_command(bench, dut)
    m.d.comb += dut.writable.eq(_PAGE - 32 + bench.constant(6, "writable"))
    bench.drive(dut.abort, dut.axi.aw.ready, dut.axi.w.ready, dut.axi.b.valid, dut.activation.ready)
    bus = _Bus(bench, request=dut.axi.aw, name="aw")
    # The buffer answers each read after five cycles.
    answers = dut.activation.valid & dut.activation.ready
    for cycle in range(5):
        answers = bench.past(answers, f"answer_{cycle}")
    m.d.comb += dut.activation.data_valid.eq(answers)
    m.d.comb += dut.activation.data.eq(bench.free(8, "data").replicate(_SMALL.activation_word))
    offered_stays(bench, dut.axi.w, name="w")
    # Bursts requested, and those whose data is complete, each compared with the addresses.
    aw_bursts, w_bursts = Signal(range(8)), Signal(range(8))
    w_fire, b_fire = dut.axi.w.valid & dut.axi.w.ready, dut.axi.b.valid & dut.axi.b.ready
    finished = w_fire & dut.axi.w.payload.last
    m.d.sync += [aw_bursts.eq(aw_bursts + bus.fire - b_fire), w_bursts.eq(w_bursts + finished - b_fire)]
    # A response comes after address and data.
    bench.assume(~dut.axi.b.valid | ((aw_bursts != 0) & (w_bursts != 0)))
    bench.check((aw_bursts <= _SMALL.outstanding_reads) & (w_bursts <= _SMALL.outstanding_reads))
    bench.check(dut.busy | ((aw_bursts == 0) & (w_bursts == 0)))
    bench.check(~dut.axi.b.valid | dut.axi.b.ready)
    # One burst of the solver's choice, by its number among all: its data has its length.
    choose = bench.constant(2, "choose")
    number, data_number = Signal(3), Signal(3)
    m.d.sync += [number.eq(number + (bus.fire & ~number.all())), data_number.eq(data_number + (finished & ~data_number.all()))]
    known, length, address = Signal(), Signal(8), Signal(32)
    with m.If(bus.fire & (number == choose)):
        m.d.sync += [known.eq(1), length.eq(dut.axi.aw.payload.len), address.eq(dut.axi.aw.payload.addr)]
    beats = Signal(8)
    m.d.sync += beats.eq(Mux(w_fire, Mux(dut.axi.w.payload.last, 0, beats + 1), beats))
    mine = w_fire & known & (data_number == choose)
    bench.check(~mine | (dut.axi.w.payload.last == (beats == length)))
    # No byte outside [base + writable, base + limit) is written.
    offset = Signal(33)
    m.d.comb += offset.eq((address - dut.base + (beats << exact_log2(_BEAT)))[:32])
    for lane in range(_BEAT):
        bench.check(~(mine & dut.axi.w.payload.strb[lane])
                    | ((offset + lane >= dut.writable) & ((dut.limit == 0) | (offset + lane < dut.limit))))


def _fetcher(bench):
    """The command fetcher as AXI4 manager."""
    m = bench.m
    config = replace(preset("base-16x16"), name="formal", burst_beats=4)
    m.submodules.dut = dut = CommandFetcher(config=config)
    m.d.comb += [dut.base.eq(bench.constant(20, "base") << 12), dut.program.eq(bench.constant(26, "program") << 6),
                 dut.limit.eq(bench.constant(32, "limit")), dut.start.eq(bench.free(1, "start") & dut.idle)]
    bench.drive(dut.stop, dut.axi.ar.ready, dut.axi.r.valid, dut.axi.r.payload.resp, *(port.ready for port in dut.beats))
    m.d.comb += dut.axi.r.payload.data.eq(bench.free(32, "data"))
    offered_stays(bench, dut.axi.ar, name="ar")
    ar = dut.axi.ar
    with m.If(ar.valid):
        bench.check((ar.payload.addr & (_PAGE - 1)) + (ar.payload.len + 1 << 4) <= _PAGE)
        offset = Signal(33)
        m.d.comb += offset.eq((ar.payload.addr - dut.base)[:32])
        bench.check((dut.limit == 0) | (offset + (ar.payload.len + 1 << 4) <= dut.limit))
    outstanding = Signal(8)
    m.d.sync += outstanding.eq(outstanding + Mux(ar.valid & ar.ready, ar.payload.len + 1, 0) - dut.axi.r.valid)
    bench.assume(~dut.axi.r.valid | (outstanding != 0))
    bench.check(outstanding <= 32)
    bench.check(~dut.idle | (outstanding == 0) | bench.past(dut.start, "start"))
    for index, port in enumerate(dut.beats):
        offered_stays(bench, port, name=f"beats_{index}", unless=dut.stop | bench.past(dut.stop, f"stop_{index}"))


PROOFS = [
    Proof(name="read_arbiter", module="axi_read_arbiter", build=_arbiter,
          claim="requests stay, each once and in order with its reader's id; data goes to the reader of its id",
          mutant=Mutant(module="axi_read_arbiter", text="request.i.ready & ~self.fetch.ar.valid",
                        replacement="request.i.ready")),
    Proof(name="burst_splitter", module="burst_splitter", build=_splitter,
          claim="bursts cover their run from the first byte to the last, none crosses 4 KiB (runs of up to 8 chunks)",
          mutant=Mutant(module="burst_splitter", text="last_burst.eq(left == 1)", replacement="last_burst.eq(left == 2)")),
    Proof(name="transfer_walker", module="transfer_walker", build=_walker, bound=6, slow=True, limit=300,
          claim="no run leaves [BASE + WRITABLE, BASE + LIMIT), only those that would are refused; lengths that fit are kept",
          mutant=Mutant(module="transfer_walker", text="offset - self.writable", replacement="offset + 1 - self.writable")),
    Proof(name="load_walker", module="transfer_walker", build=partial(_walker, name="LOAD"), bound=6, slow=True, limit=300,
          claim="the same of LOAD, which has no WRITABLE",
          mutant=Mutant(module="transfer_walker", text="unfit.eq(empty |", replacement="unfit.eq(")),
    Proof(name="load_engine", module="load_engine", build=_load, bound=14, reset=False, slow=True, limit=300,
          claim="AXI4 reads: requests stay, no burst crosses 4 KiB, no more in flight than configured, all beats taken",
          mutant=Mutant(module="load_engine", text="under_way.room & request.i.ready", replacement="request.i.ready")),
    Proof(name="store_engine", module="store_engine", build=_store, bound=16, reset=False, slow=True, limit=300,
          claim="AXI4 writes: as reads; WLAST with the last beat, one response a burst, no byte outside the range",
          mutant=Mutant(module="store_engine", text="payload.last.eq(beat.last_beat)", replacement="payload.last.eq(1)")),
    Proof(name="command_fetcher", module="command_fetcher", build=_fetcher, bound=11, reset=False, slow=True, limit=300,
          claim="AXI4 reads: requests stay, inside the limit and 4 KiB, only with room; beats stay until taken",
          mutant=Mutant(module="command_fetcher", text="s0_some.eq(remaining > 0)", replacement="s0_some.eq(remaining >= 0)")),
]
