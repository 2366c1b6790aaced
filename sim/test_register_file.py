"""Tests of the register file."""

import random

import pytest

from systolith.register_file import RegisterFile
from systolith_sim.axi_lite import AxiLiteHost
from systolith_sim.pysim import simulate
from systolith_spec.registers import Register, RegisterField

TABLE = (
    Register(name="IDENTITY", offset=0x0, access="ro", description=""),
    Register(name="VALUE", offset=0x4, access="ro", description=""),
    Register(name="HELD", offset=0x8, access="rw", description="", reset=0x12345678),
    Register(name="STROBE", offset=0xC, access="wo", description=""),
    Register(name="FEW", offset=0x20, access="rw", description="", fields=(
        RegisterField(name="a", lsb=0, width=3, description=""), RegisterField(name="b", lsb=30, width=1, description=""))),
)


def block():
    return RegisterFile(registers=TABLE, constants={"IDENTITY": 0xCAFE})


def watch_strobes(dut, seen):
    async def watch(ctx):
        async for _, _, value in ctx.tick().sample(dut.value_strobe):
            if value:
                seen.append(value)
    return watch


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_accesses_against_a_model(stall):
    dut = block()
    host = AxiLiteHost(dut, stall=stall, seed=3)
    rng = random.Random(5)
    strobes, wanted_strobes = [], []
    count = 0

    async def accesses(ctx):
        nonlocal count
        held = {0x8: 0x12345678, 0x20: 0}
        ctx.set(dut.value_value, 0x600DF00D)
        for _ in range(150):
            offset = rng.choice([0x0, 0x4, 0x8, 0xC, 0x10, 0x20, 0x24, 0xFFC])
            known = offset in (0x0, 0x4, 0x8, 0xC, 0x20)
            if rng.random() < 0.5:
                data, mask = rng.getrandbits(32), rng.getrandbits(4)
                bits = sum(0xFF << 8 * lane for lane in range(4) if mask >> lane & 1)
                assert await host.write_at(ctx, offset + rng.randrange(4), data, mask) == (0 if known else 2)
                if offset in held:
                    held[offset] = held[offset] & ~bits | data & bits
                    held[0x20] &= 0x4000_0007
                if offset == 0xC and data & bits:
                    wanted_strobes.append(data & bits)
            else:
                data, response = await host.read_at(ctx, offset + rng.randrange(4))
                want = {0x0: 0xCAFE, 0x4: 0x600DF00D, **held}.get(offset, 0)
                assert (data, response) == (want, 0 if known else 2), hex(offset)
            count += 1
        assert ctx.get(dut.value_held) == held[0x8]
        await ctx.tick()

    simulate(dut, accesses, background=[watch_strobes(dut, strobes)])
    assert count == 150
    assert strobes == wanted_strobes
    assert strobes


@pytest.mark.parametrize("first", ["aw", "w"])
def test_address_and_data_in_either_order(first):
    dut = block()

    async def write(ctx):
        ctx.set(dut.s_axil_awaddr, 8)
        ctx.set(dut.s_axil_wdata, 77)
        ctx.set(dut.s_axil_wstrb, 15)
        for channel in (first, {"aw": "w", "w": "aw"}[first]):
            for _ in range(5):
                await ctx.tick()
                assert not ctx.get(dut.s_axil_bvalid)
            valid = getattr(dut, f"s_axil_{channel}valid")
            ctx.set(valid, 1)
            await ctx.tick().until(getattr(dut, f"s_axil_{channel}ready"))
            ctx.set(valid, 0)
        for _ in range(5):
            await ctx.tick()
        # The response waits, and nothing else is executed before it is taken.
        assert ctx.get(dut.s_axil_bvalid)
        assert ctx.get(dut.s_axil_bresp) == 0
        assert ctx.get(dut.value_held) == 77

    simulate(dut, write)


def test_refuses_bad_tables():
    one = TABLE[0]
    with pytest.raises(ValueError, match=r"^Offset of register TWO must be its own, not that of IDENTITY: 0$"):
        RegisterFile(registers=(one, Register(name="TWO", offset=0, access="ro", description="")))
    with pytest.raises(ValueError, match=r"^Offset of register ODD must be a multiple of 4 below 4096, not 6$"):
        RegisterFile(registers=(Register(name="ODD", offset=6, access="ro", description=""),))
    with pytest.raises(ValueError, match=r"^Access of register X must be ro, rw or wo, not 'w1c'$"):
        RegisterFile(registers=(Register(name="X", offset=4, access="w1c", description=""),))
    with pytest.raises(ValueError, match=r"^Constant must be the value of a read-only register, not of 'HELD'$"):
        RegisterFile(registers=TABLE, constants={"HELD": 1})
