"""Contracts that several proofs share: streams, queues and AXI channels."""

from amaranth import *

__all__ = ["counted", "offered_stays", "queue_contract"]


def offered_stays(bench, stream, *, name, unless=0, enforce="check"):
    """An offer stays, with the same payload, until it is taken.

    Parameters
    ----------
    bench : Bench
    stream : stream interface
        With ``valid``, ``ready`` and ``payload``.
    name : str
    unless : Value
        Level that may withdraw offers, in the cycle before.
    enforce : str
        "check", or "assume" for a stream that enters the component.
    """
    payload = Value.cast(stream.payload)
    waiting = bench.past(stream.valid & ~stream.ready & ~unless, f"{name}_waiting")
    before = bench.past(payload, f"{name}_payload")
    getattr(bench, enforce)(~waiting | (stream.valid & (payload == before)))


def counted(bench, put, take, *, most, name):
    """Number of items between two places: up with ``put``, down with ``take``; checked to stay in 0 .. most.

    Returns
    -------
    Signal
        Items before this cycle.
    """
    items = Signal(range(most + 2), name=f"{name}_items")
    bench.m.d.sync += items.eq(items + put - take)
    bench.check(~(put & (items == most)) | take)
    bench.check(~take | (items != 0) | put)
    return items


def queue_contract(bench, i, o, *, most, latency, name="queue", passes=False):
    """What goes in comes out: in order, unchanged, nothing lost, nothing made up, after a limited time.

    One item of the solver's choice is followed on its way: the items ahead of it are counted, and when they have
    left the next one must be it.

    Parameters
    ----------
    bench : Bench
    i, o : stream interfaces
        Where items enter and leave.
    most : int
        Items that fit.
    latency : int
        Cycles until an item, or the next one, is offered.
    name : str
    passes : bool
        Items may leave in the cycle in which they enter.
    """
    m = bench.m
    put, take = i.valid & i.ready, o.valid & o.ready
    entering, leaving = Value.cast(i.payload), Value.cast(o.payload)
    items = counted(bench, put, take, most=most, name=name)
    if not passes:
        bench.check(~o.valid | (items != 0))
    choose = bench.free(1, f"{name}_choose")
    followed, chosen = Signal(name=f"{name}_followed"), Signal.like(entering, name=f"{name}_chosen")
    ahead = Signal.like(items, name=f"{name}_ahead")
    with m.If(followed & take):
        m.d.sync += [ahead.eq(ahead - 1), followed.eq(ahead != 0)]
    with m.Elif(~followed & choose & put & ((items != 0) | ~take)):
        m.d.sync += [followed.eq(1), chosen.eq(entering), ahead.eq(items - take)]
    bench.check(~(followed & take & (ahead == 0)) | (leaving == chosen))
    if passes:
        bench.check(~(put & take & (items == 0)) | (leaving == entering))
    idle = Signal(range(latency + 2), name=f"{name}_idle")
    m.d.sync += idle.eq(Mux((items != 0) & ~o.valid, Mux(idle > latency, idle, idle + 1), 0))
    bench.check(idle <= latency)
    offered_stays(bench, o, name=f"{name}_o")
