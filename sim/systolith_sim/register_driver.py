"""AXI4-Lite accesses from cocotb that keep Python asleep in between.

cocotbext-axi's master, which wakes on every clock edge, is the reference for the register block's own tests;
whole networks need an interface that costs nothing while a program runs.
"""

from cocotb.triggers import RisingEdge

__all__ = ["RegisterDriver", "RegisterError"]

_LIMIT = 1000  # cycles until an access is given up


class RegisterError(Exception):
    """A register access was refused or not answered."""


class RegisterDriver:
    """Reads and writes registers through the ports ``s_axil_*`` of `dut`."""

    def __init__(self, dut):
        self._dut = dut
        for name in ("awvalid", "wvalid", "arvalid", "bready", "rready", "awaddr", "awprot", "wdata", "wstrb", "araddr",
                     "arprot"):
            self._port(name).value = 0

    def _port(self, name):
        return getattr(self._dut, f"s_axil_{name}")

    async def _transfer(self, valid: str, ready: str) -> None:
        """Hold a valid until it is accepted."""
        self._port(valid).value = 1
        for _ in range(_LIMIT):
            await RisingEdge(self._dut.clk)
            if self._port(ready).value == 1:
                self._port(valid).value = 0
                return
        raise RegisterError(f"No {ready} within {_LIMIT} cycles")

    async def _answer(self, channel: str, offset: int) -> int:
        """Accept a response, check it, and return the data of the read channel (0 for writes)."""
        self._port(f"{channel}ready").value = 1
        for _ in range(_LIMIT):
            await RisingEdge(self._dut.clk)
            if self._port(f"{channel}valid").value == 1:
                self._port(f"{channel}ready").value = 0
                if int(self._port(f"{channel}resp").value):
                    raise RegisterError(f"Access to register offset {offset:#x} was answered with an error")
                return int(self._port("rdata").value) if channel == "r" else 0
        raise RegisterError(f"No answer on channel {channel} within {_LIMIT} cycles")

    async def write(self, offset: int, value: int) -> None:
        """Write a 32-bit register."""
        self._port("awaddr").value = offset
        self._port("wdata").value = value
        self._port("wstrb").value = 0xF
        await self._transfer("awvalid", "awready")
        await self._transfer("wvalid", "wready")
        await self._answer("b", offset)

    async def read(self, offset: int) -> int:
        """Read a 32-bit register."""
        self._port("araddr").value = offset
        await self._transfer("arvalid", "arready")
        return await self._answer("r", offset)
