"""Proofs about the command processor: registers, tokens, command queues, and all of them together."""

from dataclasses import replace
from types import SimpleNamespace

from amaranth import *

from systolith.engine_queue import EngineQueue
from systolith.register_file import RegisterFile
from systolith.shapes import command_layout
from systolith.token_counters import TokenCounters
from systolith.watchdog import Watchdog
from systolith_spec.commands import COMMAND_BYTES, Engine
from systolith_spec.presets import preset
from systolith_spec.registers import Register, RegisterField

from .contracts import counted, offered_stays
from .mutation import Mutant
from .proof import Proof

__all__ = ["PROOFS"]

_HEADER = command_layout("END")
_QUEUE = replace(preset("base-16x16"), name="formal", queue_commands=2)  # four beats a command
_REGISTERS = (
    Register(name="CONTROL", offset=0x0, access="wo", description="", fields=(
        RegisterField(name="strobe", lsb=7, width=2, description=""),)),
    Register(name="HELD", offset=0x4, access="rw", description="", reset=0, fields=(
        RegisterField(name="field", lsb=7, width=2, description=""),)),
    Register(name="STATUS", offset=0x8, access="ro", description=""),
)


class _Channel:
    """Stream view of a channel of the flat AXI4-Lite port."""

    def __init__(self, dut, channel, *payload):
        self.valid, self.ready = (getattr(dut, f"s_axil_{channel}{name}") for name in ("valid", "ready"))
        self.payload = Cat(getattr(dut, f"s_axil_{channel}{name}") for name in payload)
        self.fire = self.valid & self.ready


class _Pending:
    """Queue of the bench: transfers accepted and not yet answered, at most two."""

    def __init__(self, bench, channel, answered, *, name):
        self.items = counted(bench, channel.fire, answered, most=2, name=name)
        self.slots = [Signal(len(channel.payload), name=f"{name}_{index}") for index in range(2)]
        first, second = self.slots
        m = bench.m
        with m.If(answered):
            m.d.sync += first.eq(second)
        with m.If(channel.fire):
            with m.If(self.items == answered):
                m.d.sync += first.eq(channel.payload)
            with m.Else():
                m.d.sync += second.eq(channel.payload)

    @property
    def head(self):
        """The oldest."""
        return self.slots[0]


def _register_file(bench):
    m = bench.m
    m.submodules.dut = dut = RegisterFile(registers=_REGISTERS)
    aw, w, b = _Channel(dut, "aw", "addr"), _Channel(dut, "w", "data", "strb"), _Channel(dut, "b", "resp")
    ar, r = _Channel(dut, "ar", "addr"), _Channel(dut, "r", "data", "resp")
    bench.drive(aw.valid, w.valid, b.ready, ar.valid, r.ready, dut.s_axil_wstrb)
    # Three registers and a hole; bits 8 and 7 lie in two bytes.
    for name in ("aw", "ar"):
        m.d.comb += getattr(dut, f"s_axil_{name}addr").eq(bench.free(2, f"{name}_address") << 2)
    m.d.comb += [dut.s_axil_wdata.eq(bench.free(2, "wdata") << 7),
                 dut.value_status.eq(bench.constant(2, "status") << 7)]
    for channel, name in ((aw, "aw"), (w, "w"), (ar, "ar")):
        offered_stays(bench, channel, name=name, enforce="assume")
    for channel, name in ((b, "b"), (r, "r")):
        offered_stays(bench, channel, name=name)
    addresses, words = (_Pending(bench, channel, b.fire, name=name) for channel, name in ((aw, "aw_q"), (w, "w_q")))
    reads = _Pending(bench, ar, r.fire, name="ar_q")
    bench.check(~b.valid | ((addresses.items != 0) & (words.items != 0)))
    bench.check(~r.valid | (reads.items != 0))
    # Every access is answered, soon.
    for wanted, answer, name in (((addresses.items != 0) & (words.items != 0), b, "b"), (reads.items != 0, r, "r")):
        late = Signal(3, name=f"{name}_late")
        m.d.sync += late.eq(Mux(wanted & ~answer.valid, late + ~late.all(), 0))
        bench.check(late <= 3)
    # What the registers hold and are read as.
    held, strobes = Signal(2), words.head[32:]
    index = addresses.head[2:]
    with m.If(b.fire & (index == 1)):
        m.d.sync += held.eq(Cat(Mux(strobes[byte], words.head[7 + byte], held[byte]) for byte in range(2)))
    bench.check(((addresses.items != 0) & (words.items != 0)) | (dut.value_held == held << 7))
    bench.check(~b.fire | (dut.s_axil_bresp == Mux(index == 3, 2, 0)))
    quiet = Signal()
    with m.If(b.valid | (addresses.items != 0) | (words.items != 0) | aw.fire | w.fire):
        m.d.sync += quiet.eq(0)
    with m.Elif(reads.items == 0):
        m.d.sync += quiet.eq(1)
    value = Array([0, held << 7, dut.value_status, 0])[reads.head[2:]]
    bench.check(~r.fire | (dut.s_axil_rresp == Mux(reads.head[2:] == 3, 2, 0)))
    bench.check(~(r.fire & (quiet | (reads.head[2:] != 1))) | (dut.s_axil_rdata == value))


def _tokens(bench, width=2):
    m = bench.m
    m.submodules.dut = dut = TokenCounters(width=width)
    bench.drive(dut.clear, dut.give, dut.take)
    most = (1 << width) - 1
    lost = []
    for producer in Engine:
        for consumer in Engine:
            if producer == consumer:
                bench.check(~dut.available[consumer][producer])
                continue
            name = f"{producer.name}_{consumer.name}"
            give, take = dut.give[producer][consumer], dut.take[consumer][producer]
            tokens = Signal(range(most + 1), name=name)
            bench.check(dut.available[consumer][producer] == (tokens != 0))
            # A consumer takes only what is there.
            bench.assume(~take | dut.available[consumer][producer])
            overflow = give & ~take & (tokens == most)
            lost.append(overflow & ~dut.clear)
            m.d.sync += tokens.eq(Mux(dut.clear, 0, Mux(overflow, most, tokens + give - take)))
    cleared = bench.past(dut.clear, "clear")
    bench.check(dut.overflow == (bench.past(bench.past(Cat(lost).any(), "lost"), "lost_2") & ~cleared))


def _queue(bench):
    """A command queue: data, tokens taken, tokens given."""
    m = bench.m
    m.submodules.dut = dut = EngineQueue(config=_QUEUE, inflight_depth=2)
    bench.drive(dut.beats.valid, dut.command.ready, dut.retire, dut.available)
    # Masks vary and, in all beats, the same bits; the others go the same way.
    first, width = _HEADER["wait"].offset, 8
    m.d.comb += dut.beats.payload.eq(bench.free(width, "beat") << first)
    offered_stays(bench, dut.beats, name="beats", enforce="assume")
    offered_stays(bench, dut.command, name="command")
    header = _HEADER(dut.command.payload)
    fire = dut.command.valid & dut.command.ready
    # Tokens: only what is there, and for each command its mask, once, before it is offered.
    take, taken = Mux(dut.take, dut.wait, 0), Signal(len(Engine))
    m.d.sync += taken.eq(Mux(fire, 0, taken) | take)
    bench.check((take & ~dut.available) == 0)
    bench.check((take & taken) == 0)
    bench.check(~dut.command.valid | (taken == header.wait))
    # Signals: with the retirement of the command they belong to, in order.
    flying = Signal(3)
    m.d.sync += flying.eq(flying + fire - dut.retire)
    bench.assume(~dut.retire | (flying != 0))
    bench.check(flying <= dut.inflight_depth)
    choose = bench.free(1, "choose")
    followed, ahead, signal = Signal(), Signal(3), Signal(len(Engine))
    with m.If(followed & dut.retire):
        m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
    with m.Elif(~followed & choose & fire):
        m.d.sync += [followed.eq(1), ahead.eq(flying - dut.retire), signal.eq(header.signal)]
    bench.check(~(followed & dut.retire & (ahead == 0)) | (dut.give == signal))
    bench.check(dut.retire | (dut.give == 0))
    bench.check(~dut.empty | (flying == 0))


def _queue_data(bench):
    """A command queue hands over the beats of a command unchanged and in order."""
    m = bench.m
    m.submodules.dut = dut = EngineQueue(config=_QUEUE, inflight_depth=2)
    beats = 4
    bench.drive(dut.beats.valid, dut.command.ready, dut.retire)
    # One bit of each beat, and no tokens.
    m.d.comb += [dut.beats.payload.eq(bench.free(1, "beat") << 40), dut.available.eq(0)]
    bench.assume(dut.retire == bench.past(dut.command.valid & dut.command.ready, "fire"))
    put, fire = dut.beats.valid & dut.beats.ready, dut.command.valid & dut.command.ready
    items = Signal(range(4 * beats))
    m.d.sync += items.eq(items + put - Mux(fire, beats, 0))
    bench.check(~fire | (items >= beats))
    bench.check(~put | (items <= 3 * beats))
    choose = bench.free(1, "choose")
    followed, chosen, ahead = Signal(), Signal(), Signal.like(items)
    with m.If(followed & fire):
        m.d.sync += [ahead.eq(ahead - beats), followed.eq(ahead >= beats)]
    with m.Elif(~followed & choose & put & ~fire):
        m.d.sync += [followed.eq(1), chosen.eq(dut.beats.payload[40]), ahead.eq(items)]
    got = Array(dut.command.payload[128 * beat + 40] for beat in range(beats))[ahead[:2]]
    bench.check(~(followed & fire & (ahead < beats)) | (got == chosen))


def _no_deadlock(bench, patience=11):
    """Queues and tokens under any well-formed program, handed over in order, with engines that do get on.

    Well formed: in program order, every command finds the tokens it waits for. A command enters in one beat.
    """
    m = bench.m
    config = SimpleNamespace(axi_data_width=8 * COMMAND_BYTES, axi_bytes=COMMAND_BYTES, queue_commands=2,
                             multiplier_style="generic")
    m.submodules.tokens = tokens = TokenCounters(width=4)
    target, offered = bench.free(2, "target"), bench.free(1, "offered")
    wait, signal = bench.free(4, "wait"), bench.free(4, "signal")
    bench.assume(((wait | signal) & (1 << target)[:4]) == 0)
    sent, retired = [], []
    for engine in Engine:
        name = engine.name.lower()
        m.submodules[name] = queue = EngineQueue(config=config, inflight_depth=2)
        ready, retire = bench.free(1, f"{name}_ready"), bench.free(1, f"{name}_retire")
        header = Signal(_HEADER, name=f"{name}_header")
        fire = queue.command.valid & queue.command.ready
        flying, waits, works = (Signal(2, name=f"{name}_{what}") for what in ("flying", "waits", "works"))
        m.d.comb += [
            header.wait.eq(wait), header.signal.eq(signal),
            queue.beats.payload.eq(header.as_value()), queue.beats.valid.eq(offered & (target == engine)),
            queue.command.ready.eq(ready), queue.retire.eq(retire), queue.available.eq(tokens.available[engine]),
            tokens.take[engine].eq(Mux(queue.take, queue.wait, 0)), tokens.give[engine].eq(queue.give),
        ]
        # An engine takes a command in its second cycle at the latest, and retires one every other cycle.
        m.d.sync += [
            flying.eq(flying + fire - retire),
            waits.eq(Mux(queue.command.valid & ~ready, waits + 1, 0)),
            works.eq(Mux((flying != 0) & ~retire, works + 1, 0)),
        ]
        bench.assume((waits < 2) & (works < 2) & (~retire | (flying != 0)))
        sent.append(queue.beats.valid & queue.beats.ready)
        retired.append(retire)
    sends, retires = Signal(), Signal(range(5))
    m.d.comb += [sends.eq(Cat(sent).any()), retires.eq(sum(retired))]
    for producer in Engine:
        for consumer in Engine:
            if producer != consumer:
                there = Signal(3, name=f"there_{producer.name}_{consumer.name}")
                takes, gives = sends & (target == consumer) & wait[producer], sends & (target == producer) & signal[consumer]
                bench.assume(~takes | (there != 0))
                bench.assume(~gives | (there < 4))
                m.d.sync += there.eq(there + gives - takes)
    inside, idle = Signal(6), Signal(range(patience + 2))
    m.d.sync += [inside.eq(inside + sends - retires),
                 idle.eq(Mux((inside == 0) | (retires != 0), 0, Mux(idle > patience, idle, idle + 1)))]
    bench.check(idle <= patience)


def _watchdog(bench):
    m = bench.m
    m.submodules.dut = dut = Watchdog()
    limit = bench.constant(3, "limit")
    bench.drive(dut.enable, dut.kick)
    m.d.comb += dut.limit.eq(limit)
    # The limit of 0 is recognised a cycle ahead; no run begins in the first cycle after a reset.
    bench.assume(~dut.enable | bench.past(1, "started"))
    quiet = Signal(5)  # cycles since the last kick
    m.d.sync += quiet.eq(Mux(dut.kick | ~dut.enable, 0, quiet + ~quiet.all()))
    bench.check(~dut.expired | ((quiet >= limit) & (limit != 0)))
    bench.check(dut.expired | (quiet <= limit + 1) | (limit == 0))


PROOFS = [
    Proof(name="register_file", module="register_file", build=_register_file,
          claim="AXI4-Lite: responses stay, one for each access and soon; writes obey strobes; reads give the register",
          mutant=Mutant(module="register_file", text="address_held & word_held & ~written & ~self.s_axil_bvalid",
                        replacement="address_held & word_held & ~written")),
    Proof(name="token_counters", module="token_counters", build=_tokens,
          claim="no token is lost or made up, an overflow is reported (2-bit counters, any gives, takes and clears)",
          mutant=Mutant(module="token_counters", text="available.eq(give | count[1:].any())",
                        replacement="available.eq(give | count.any())")),
    Proof(name="engine_queue", module="engine_queue", build=_queue,
          claim="each command takes its tokens once, before it is offered, and gives its own when it retires",
          mutant=Mutant(module="engine_queue", text="& tokens_there & inflight.room", replacement="& inflight.room")),
    Proof(name="engine_queue_data", module="engine_queue", build=_queue_data, bound=20, slow=True, limit=300,
          claim="commands leave unchanged and in order",
          mutant=Mutant(module="engine_queue", text="self.beats.ready.eq(stored.room)", replacement="self.beats.ready.eq(1)")),
    Proof(name="no_deadlock", module="engine_queue", build=_no_deadlock, bound=21, reset=False, slow=True, limit=300,
          claim="four queues and the tokens: a command retires at least every 11 cycles under any well-formed program",
          mutant=Mutant(module="engine_queue", text="self.give.eq(Mux(self.retire, mask, 0))",
                        replacement="self.give.eq(0)")),
    Proof(name="watchdog", module="watchdog", build=_watchdog,
          claim="expires after the limit without progress, neither earlier nor later (limits 0 to 7)",
          mutant=Mutant(module="watchdog", text="m.If(self.kick | ~self.enable)", replacement="m.If(~self.enable)")),
]
