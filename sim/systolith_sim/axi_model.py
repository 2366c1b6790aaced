"""AXI4 memory for Amaranth's simulator: latency, stalls, error responses and protocol checks.

Example
-------
::

    memory = AxiMemory(bytearray(4096), config=config, latency=20, stall=0.3, seed=1)
    simulate(dut, testbench, background=[memory.reader(dut.axi)])
    assert memory.read_bursts == [(0x100, 4)]
"""

import random
from collections import deque

from amaranth.hdl import Value

__all__ = ["AxiMemory"]

_PAGE = 4096


class AxiMemory:
    """Byte memory with any number of read and write ports.

    Parameters
    ----------
    data : bytearray
        Contents; changed by writes.
    config : AcceleratorConfig
        Gives data width and longest burst.
    origin : int
        Address of the first byte. Accesses outside ``data`` fail the simulation.
    latency : int
        Cycles from the acceptance of a request to its first read beat, or from the last write beat to the
        response; at least 1.
    stall : float
        Probability, each cycle, that a channel does not move.
    errors : dict
        Address to AXI response: a burst that touches that address is answered with the response.
    seed : int
        Seed of stalls and of the order between read ids.

    Attributes
    ----------
    read_bursts, write_bursts : list of (address, beats)
        Accepted requests in order.
    read_requests, write_requests, read_beats, write_beats, responses : list of int
        Clock cycles of the transfers of each channel, counted from the first edge.
    """

    def __init__(self, data, *, config, origin=0, latency=1, stall=0.0, errors=None, seed=0):
        self.data = data
        self.latency = latency
        self.stall = stall
        self.errors = errors or {}
        self.read_bursts, self.write_bursts = [], []
        self.read_requests, self.write_requests = [], []
        self.read_beats, self.write_beats, self.responses = [], [], []
        self._config = config
        self._origin = origin
        self._rng = random.Random(seed)

    def _moves(self):
        return not (self.stall and self._rng.random() < self.stall)

    def _check(self, address, beats):
        config = self._config
        size = beats * config.axi_bytes
        assert address % config.axi_bytes == 0, f"address {address:#x} is not aligned"
        assert 1 <= beats <= config.burst_beats, f"burst of {beats} beats"
        assert address // _PAGE == (address + size - 1) // _PAGE, f"{beats} beats at {address:#x} cross 4 KiB"
        assert self._origin <= address <= self._origin + len(self.data) - size, (
            f"{address:#x} is outside the memory"
        )

    def _response(self, address, beats):
        for bad, response in self.errors.items():
            if address <= bad < address + beats * self._config.axi_bytes:
                return response
        return 0

    def reader(self, axi):
        """Background testbench for an interface with ``ar`` and ``r``."""
        size = self._config.axi_bytes

        async def read_memory(ctx):
            queues, shown, pending, cycle = {}, None, None, 0
            while True:
                if shown is None and self._moves():
                    # Beats of one id stay in order; ids may interleave.
                    ids = [i for i, queue in queues.items() if queue and queue[0][0] <= cycle]
                    if ids:
                        shown = queues[self._rng.choice(ids)].popleft()[1]
                ctx.set(axi.r.valid, shown is not None)
                if shown is not None:
                    ctx.set(axi.r.payload, shown)
                ready = self._moves()
                ctx.set(axi.ar.ready, ready)
                _, _, ar_valid, ar, r_ready = await ctx.tick().sample(
                    axi.ar.valid, Value.cast(axi.ar.payload), axi.r.ready
                )
                assert pending is None or (ar_valid and ar == pending), "AR changed while it was waiting"
                pending = ar if ar_valid and not ready else None
                if shown is not None and r_ready:
                    self.read_beats.append(cycle)
                    shown = None
                if ar_valid and ready:
                    request = axi.ar.payload.shape().from_bits(ar)
                    address, beats = request.addr, request.len + 1
                    self._check(address, beats)
                    self.read_bursts.append((address, beats))
                    self.read_requests.append(cycle)
                    queue = queues.setdefault(request.id, deque())
                    for beat in range(beats):
                        start = address + beat * size - self._origin
                        queue.append(
                            (
                                cycle + self.latency,
                                {
                                    "data": int.from_bytes(self.data[start : start + size], "little"),
                                    "resp": self._response(address, beats),
                                    "last": beat == beats - 1,
                                    "id": request.id,
                                },
                            )
                        )
                cycle += 1

        return read_memory

    def writer(self, axi):
        """Background testbench for an interface with ``aw``, ``w`` and ``b``."""

        async def write_memory(ctx):
            requests, beats, responses = deque(), [], deque()
            shown, pending_aw, pending_w, cycle = None, None, None, 0
            while True:
                if shown is None and responses and responses[0][0] <= cycle and self._moves():
                    shown = responses.popleft()[1]
                ctx.set(axi.b.valid, shown is not None)
                ctx.set(axi.b.payload.resp, shown or 0)
                aw_ready, w_ready = self._moves(), self._moves()
                ctx.set(axi.aw.ready, aw_ready)
                ctx.set(axi.w.ready, w_ready)
                _, _, aw_valid, aw, w_valid, w, b_ready = await ctx.tick().sample(
                    axi.aw.valid,
                    Value.cast(axi.aw.payload),
                    axi.w.valid,
                    Value.cast(axi.w.payload),
                    axi.b.ready,
                )
                assert pending_aw is None or (aw_valid and aw == pending_aw), (
                    "AW changed while it was waiting"
                )
                assert pending_w is None or (w_valid and w == pending_w), "W changed while it was waiting"
                pending_aw = aw if aw_valid and not aw_ready else None
                pending_w = w if w_valid and not w_ready else None
                if shown is not None and b_ready:
                    self.responses.append(cycle)
                    shown = None
                if aw_valid and aw_ready:
                    request = axi.aw.payload.shape().from_bits(aw)
                    self._check(request.addr, request.len + 1)
                    self.write_bursts.append((request.addr, request.len + 1))
                    self.write_requests.append(cycle)
                    requests.append((request.addr, request.len + 1))
                if w_valid and w_ready:
                    self.write_beats.append(cycle)
                    beats.append(axi.w.payload.shape().from_bits(w))
                while requests and len(beats) >= requests[0][1]:
                    address, count = requests.popleft()
                    burst, beats = beats[:count], beats[count:]
                    self._store(address, burst)
                    responses.append((cycle + self.latency, self._response(address, count)))
                cycle += 1

        return write_memory

    def _store(self, address, burst):
        size = self._config.axi_bytes
        for index, beat in enumerate(burst):
            assert beat.last == (index == len(burst) - 1), f"WLAST is wrong in beat {index} of {len(burst)}"
            start = address + index * size - self._origin
            for lane, byte in enumerate(beat.data.to_bytes(size, "little")):
                if beat.strb >> lane & 1:
                    self.data[start + lane] = byte
