"""Proofs about stream buffers and queues."""

from amaranth import *

from systolith.block_fifo import BlockFifo
from systolith.fill_level import FillLevel
from systolith.head_buffer import HeadBuffer
from systolith.head_fifo import HeadFifo
from systolith.skid_buffer import SkidBuffer
from systolith.stream_buffer import StreamBuffer

from .contracts import offered_stays, queue_contract
from .mutation import Mutant
from .proof import Proof

__all__ = ["PROOFS"]

_QUEUE = "items leave in order, unchanged, none lost or made up, each after a limited time; an offer stays until taken"


def _skid_buffer(bench):
    bench.m.submodules.dut = dut = SkidBuffer(shape=8)
    bench.drive(dut.i.valid, dut.i.payload, dut.o.ready)
    # The input is passed on in the same cycle, so it has to keep the contract itself.
    offered_stays(bench, dut.i, name="i", enforce="assume")
    queue_contract(bench, dut.i, dut.o, most=1, latency=0, passes=True)


def _stream_buffer(bench):
    bench.m.submodules.dut = dut = StreamBuffer(shape=8)
    bench.drive(dut.i.valid, dut.i.payload, dut.o.ready)
    queue_contract(bench, dut.i, dut.o, most=2, latency=0)


def _head_buffer(bench):
    bench.m.submodules.dut = dut = HeadBuffer(shape=8)
    bench.drive(dut.i.valid, dut.i.payload, dut.o.ready)
    queue_contract(bench, dut.i, dut.o, most=2, latency=0)


def _fill_level(bench, depth=5, init=2):
    bench.m.submodules.dut = dut = FillLevel(depth=depth, init=init)
    bench.drive(dut.put, dut.take)
    items = Signal(range(depth + 1), init=init)
    bench.assume(~dut.put | (items != depth))
    bench.assume(~dut.take | (items != 0))
    bench.m.d.sync += items.eq(items + dut.put - dut.take)
    bench.check((dut.level == items) & (dut.some == (items != 0)) & (dut.room == (items != depth)))


def _head_fifo(bench, depth=2):
    bench.m.submodules.dut = dut = HeadFifo(shape=1, depth=depth)
    bench.drive(dut.i.valid, dut.i.payload, dut.o.ready)
    queue_contract(bench, dut.i, dut.o, most=depth + 1, latency=HeadFifo.latency - 1)


def _block_fifo(bench, depth=2):
    bench.m.submodules.dut = dut = BlockFifo(shape=1, depth=depth)
    bench.drive(dut.i.valid, dut.i.payload, dut.o.ready)
    queue_contract(bench, dut.i, dut.o, most=depth + 5, latency=BlockFifo.latency - 1)


PROOFS = [
    Proof(name="skid_buffer", claim=_QUEUE, module="skid_buffer", build=_skid_buffer,
          mutant=Mutant(module="skid_buffer", text="full.eq(self.i.valid & ~self.o.ready)",
                        replacement="full.eq(self.i.valid)")),
    Proof(name="stream_buffer", claim=_QUEUE, module="stream_buffer", build=_stream_buffer,
          mutant=Mutant(module="stream_buffer", text="(write_slot == index) & ~full[index]",
                        replacement="write_slot == index")),
    Proof(name="head_buffer", claim=_QUEUE, module="head_buffer", build=_head_buffer,
          mutant=Mutant(module="head_buffer", text="skid.o.ready.eq(~valid | self.o.ready)",
                        replacement="skid.o.ready.eq(1)")),
    Proof(name="fill_level", claim="the level is what was put and not taken; the flags are those of the level (depth 5)",
          module="fill_level", build=_fill_level,
          mutant=Mutant(module="fill_level", text="self.put | (self.level != 1)", replacement="self.level != 1")),
    Proof(name="head_fifo", claim=_QUEUE + " (depth 2)", module="head_fifo", build=_head_fifo,
          mutant=Mutant(module="head_fifo", text="self.i.valid & stored.room", replacement="self.i.valid")),
    Proof(name="block_fifo", claim=_QUEUE + " (depth 2)", module="block_fifo", build=_block_fifo, slow=True,
          mutant=Mutant(module="block_fifo", text="stored.some & credits.some", replacement="stored.some")),
]
