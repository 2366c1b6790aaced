"""A simulated board behind a pseudo-terminal; started by `systolith_sim.simulated_board`."""

import os
import pty
import select
import tty
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from systolith_sim.cocotb_link import arguments, record

_PERIOD_NS = 10
_DATA_BITS = 8
_POLL_CYCLES = 1000


class _Pins:
    """UART pins of a board, as the host sees them.

    Parameters
    ----------
    rx, tx : handles
        Of the board.
    divisor : int
        Clock cycles of a bit.
    """

    def __init__(self, rx, tx, divisor):
        self._rx, self._tx = rx, tx
        self._bit_ns = divisor * _PERIOD_NS
        rx.value = 1

    async def send(self, byte):
        """Send a byte to the board."""
        for bit in (0, *(byte >> index & 1 for index in range(_DATA_BITS)), 1):
            self._rx.value = bit
            await Timer(self._bit_ns, "ns")

    async def receive(self):
        """Next byte from the board."""
        await FallingEdge(self._tx)
        await Timer(self._bit_ns + self._bit_ns // 2, "ns")
        byte = 0
        for index in range(_DATA_BITS):
            byte |= int(self._tx.value) << index
            await Timer(self._bit_ns, "ns")
        assert int(self._tx.value) == 1, "stop bit"
        return byte


@cocotb.test()
async def serve(dut):
    """Connect the pins to a pseudo-terminal until the file that holds its name is gone."""
    given = arguments()
    name_file = Path(given["name_file"])
    Clock(getattr(dut, given["clock"]), _PERIOD_NS, unit="ns", impl="gpi").start()
    pins = _Pins(getattr(dut, given["rx"]), getattr(dut, given["tx"]), given["divisor"])
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    await Timer(2000 * _PERIOD_NS, "ns")  # PLL and reset
    partial = name_file.with_suffix(".partial")
    partial.write_text(os.ttyname(slave))
    partial.rename(name_file)

    async def answer():
        while True:
            os.write(master, bytes([await pins.receive()]))

    cocotb.start_soon(answer())
    while name_file.exists():
        if select.select([master], [], [], 0)[0]:
            for byte in os.read(master, 4096):
                await pins.send(byte)
        else:
            await Timer(_POLL_CYCLES * _PERIOD_NS, "ns")
    lights = {name: int(getattr(dut, port).value) for name, port in given["lights"].items()}
    record(lights=lights)
