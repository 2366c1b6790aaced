"""AXI4-Lite host for Amaranth's simulator."""

import random

from systolith_spec.registers import register

__all__ = ["AxiLiteHost"]


class AxiLiteHost:
    """Reads and writes registers of a component with flat ``s_axil_*`` members.

    Parameters
    ----------
    dut : wiring.Component
    stall : float
        Probability, each cycle, that the host does not offer or accept what it could.
    seed : int
    """

    def __init__(self, dut, *, stall=0.0, seed=0):
        self._dut = dut
        self._stall = stall
        self._rng = random.Random(seed)

    def _member(self, name):
        return getattr(self._dut, f"s_axil_{name}")

    async def _pause(self, ctx):
        while self._stall and self._rng.random() < self._stall:
            await ctx.tick()

    async def _send(self, ctx, channels):
        """Drive several channels, each from a random cycle on, until all have been accepted."""
        waiting = dict(channels)
        offered = {}
        while waiting or offered:
            for channel in list(waiting):
                if not (self._stall and self._rng.random() < self._stall):
                    offered[channel] = None
                    for name, value in waiting.pop(channel).items():
                        ctx.set(self._member(channel + name), value)
                    ctx.set(self._member(channel + "valid"), 1)
            accepted = [channel for channel in offered if ctx.get(self._member(channel + "ready"))]
            await ctx.tick()
            for channel in accepted:
                ctx.set(self._member(channel + "valid"), 0)
                del offered[channel]

    async def _receive(self, ctx, channel, *names):
        await self._pause(ctx)
        ctx.set(self._member(channel + "ready"), 1)
        values = await ctx.tick().sample(*(self._member(channel + name) for name in names)).until(
            self._member(channel + "valid"))
        ctx.set(self._member(channel + "ready"), 0)
        return tuple(values)

    async def read_at(self, ctx, offset):
        """Return (data, response)."""
        await self._send(ctx, {"ar": {"addr": offset}})
        return await self._receive(ctx, "r", "data", "resp")

    async def write_at(self, ctx, offset, data, strobes=0xF):
        """Return the response."""
        await self._send(ctx, {"aw": {"addr": offset}, "w": {"data": data, "strb": strobes}})
        return (await self._receive(ctx, "b", "resp"))[0]

    async def read(self, ctx, name):
        """Value of a register by name; the response must be OKAY."""
        data, response = await self.read_at(ctx, register(name).offset)
        assert response == 0, f"reading {name} was answered with {response}"
        return data

    async def write(self, ctx, name, data):
        """Write a register by name; the response must be OKAY."""
        response = await self.write_at(ctx, register(name).offset, data)
        assert response == 0, f"writing {name} was answered with {response}"
