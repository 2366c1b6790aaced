"""Proofs about the on-chip buffers: a read gives what was written last, and nobody is granted a bank twice.

Memories keep their contents over a reset and lose what is under way, so the proofs of contents are without one.
"""

from types import SimpleNamespace

from amaranth import *
from amaranth.utils import exact_log2

from systolith.activation_buffer import ActivationBuffer
from systolith.delay import delay
from systolith.parameter_buffer import ParameterBuffer
from systolith.rotating_ram import RotatingRam
from systolith.weight_buffer import WeightBuffer
from systolith_sim.activation_client import drive_claim

from .mutation import Mutant
from .proof import Proof

__all__ = ["PROOFS"]

# Smaller than any real configuration: the buffers take any object with these members.
_SMALL = SimpleNamespace(activation_word=4, activation_bytes=32, activation_banks=2, weight_word=8, weight_alignment=4,
                         weight_bytes=16, cols=4, axi_bytes=4, axi_data_width=32, parameter_bytes=32,
                         multiplier_style="generic")


def _watched(bench, width, name="watched"):
    """A unit of the solver's choice, and the model of its contents."""
    return bench.constant(width, f"{name}_address"), Signal(8, name=name)


def _rotating_ram(bench, lanes=4, rows=2):
    """Unaligned reads see the writes of all cycles before."""
    m = bench.m
    m.submodules.dut = dut = RotatingRam(lanes=lanes, lane_width=8, rows=rows)
    bench.drive(dut.r_addr, dut.r_en, dut.w_addr, dut.w_mask, dut.w_data)
    enable = bench.free(1, "enable")
    m.d.comb += dut.w_en.eq(enable.replicate(2))
    width = exact_log2(lanes * rows)
    address, contents = _watched(bench, width)
    writing = Signal()
    for lane in range(lanes):
        with m.If(enable & dut.w_mask[lane] & ((dut.w_addr + lane)[:width] == address)):
            m.d.comb += writing.eq(1)
            m.d.sync += contents.eq(dut.w_data.word_select(lane, 8))
    lane = Signal(width)
    m.d.comb += lane.eq(address - dut.r_addr)
    # A unit that is written in the cycle of its read is undefined.
    reads = dut.r_en & (lane < lanes) & ~writing
    valid = delay(m, reads, dut.read_latency, name="valid", reset_less=False)
    wanted, place = (delay(m, value, dut.read_latency, name=name) for name, value in (("wanted", contents), ("lane", lane)))
    bench.check(~valid | (dut.r_data.word_select(place[:exact_log2(lanes)], 8) == wanted))


def _weight_buffer(bench):
    m = bench.m
    m.submodules.dut = dut = WeightBuffer(config=_SMALL)
    bench.drive(dut.write.en, dut.write.data, dut.read.en)
    write, read = bench.free(2, "write"), bench.free(2, "read")
    m.d.comb += [dut.write.addr.eq(write << 2), dut.read.addr.eq(read << 2)]
    address, contents = _watched(bench, 4)
    hit = dut.write.en & (write == address[2:])
    with m.If(hit):
        m.d.sync += contents.eq(dut.write.data.word_select(address[:2], 8))
    valid = delay(m, dut.read.en & (read == address[2:]) & ~hit, dut.read_latency, name="valid", reset_less=False)
    bench.check(~valid | (dut.read.data.word_select(address[:2], 8) == delay(m, contents, dut.read_latency, name="wanted")))


def _parameter_buffer(bench):
    m = bench.m
    m.submodules.dut = dut = ParameterBuffer(config=_SMALL)
    bench.drive(dut.write.en, dut.write.data, dut.read.en)
    write, read = bench.free(3, "write"), bench.free(3, "read")
    m.d.comb += [dut.write.addr.eq(write << 2), dut.read.addr.eq(read)]
    address, contents = _watched(bench, 5)
    hit = dut.write.en & (write == address[2:])
    with m.If(hit):
        m.d.sync += contents.eq(dut.write.data.word_select(address[:2], 8))
    same_pair = dut.write.en & (write[1:] == read[1:])
    valid = delay(m, dut.read.en & (read[1:] == address[3:]) & ~same_pair, dut.read_latency, name="valid", reset_less=False)
    bench.check(~valid | (dut.read.data.word_select(address[:3], 8) == delay(m, contents, dut.read_latency, name="wanted")))


def _arbitration(bench):
    """Grants of the activation buffer, cycle by cycle."""
    m = bench.m
    m.submodules.dut = dut = ActivationBuffer(config=_SMALL)
    readers, writers = (dut.store_read, dut.vector_read, dut.compute_read), (dut.vector_write, dut.load_write)
    lanes, half = _SMALL.activation_word, _SMALL.activation_bytes // 2
    bench.drive(dut.compute_urgent)
    for ports in (readers, writers):
        used = []
        for port in ports:
            bench.drive(port.valid, port.addr)
            drive_claim(m, _SMALL, port, port)
            address = Signal(5)
            m.d.comb += address.eq(port.addr)
            last = Signal(5)
            m.d.comb += last.eq(address + lanes - 1)
            banks = Cat((address // half == bank) | (last // half == bank) for bank in range(2))
            used.append((port, banks, Mux(port.valid & port.ready, banks, 0)))
        granted = Const(0, 2)
        for _, _, banks in used:
            bench.check((granted & banks) == 0)
            granted = granted | banks
        # The first port waits for nobody but an urgent reader; a port alone is served at once.
        first, alone = used[0][0], ~Cat(port.valid for port in ports[:-1]).any()
        urgent = dut.compute_urgent if ports is readers else Const(0)
        bench.check(~first.valid | first.ready | urgent)
        bench.check(~(ports[-1].valid & (alone | urgent)) | ports[-1].ready)
    for port in readers:
        answers = port.valid & port.ready
        for cycle in range(dut.read_latency):
            answers = bench.past(answers, f"answer_{cycle}")
        bench.check(port.data_valid == answers)


_SEES = "a read gives what was written last, for every byte and any traffic"

PROOFS = [
    Proof(name="rotating_ram", module="rotating_ram", build=_rotating_ram, bound=12, reset=False, slow=True,
          claim=_SEES + " (2 rows of 4)",
          mutant=Mutant(module="rotating_ram", text="s2_next.eq(row + 1)", replacement="s2_next.eq(row)")),
    Proof(name="weight_buffer", module="weight_buffer", build=_weight_buffer, reset=False, slow=True,
          claim=_SEES + " (16 bytes)",
          mutant=Mutant(module="weight_buffer", text="slot = self.write.addr[exact_log2(beat) :]",
                        replacement="slot = self.write.addr[exact_log2(beat) + 1 :]")),
    Proof(name="parameter_buffer", module="parameter_buffer", build=_parameter_buffer, reset=False, claim=_SEES + " (32 bytes)",
          mutant=Mutant(module="parameter_buffer", text="self.write.en & self.write.addr[2])",
                        replacement="self.write.en)")),
    Proof(name="activation_arbiter", module="activation_buffer", build=_arbitration,
          claim="no bank is granted twice in a cycle; the first port, or an urgent one, never waits; each grant is answered",
          mutant=Mutant(module="activation_buffer", text="taken = taken | port.claim", replacement="taken = port.claim")),
]
