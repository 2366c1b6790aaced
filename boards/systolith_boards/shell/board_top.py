"""Top level for a board: its pins, its oscillator, a reset, and the shell."""

from amaranth import *
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer

from systolith_boards.shell.pll import PLLS
from systolith_boards.shell.shell import Shell

__all__ = ["BoardTop"]

_RESET_CYCLES_LOG2 = 10  # block RAM of some families is not readable in the first microseconds
_LIGHTS = ("heartbeat", "busy", "done", "error")


class BoardTop(Elaboratable):
    """Everything in the FPGA of a board.

    Parameters
    ----------
    config : AcceleratorConfig
    board : Board
    clock_mhz : float
        Clock of the accelerator that is wanted; it becomes the next lower one that the PLL can make.
    accelerator : bool
        False leaves it out.

    Raises
    ------
    ValueError
        If the PLL cannot make such a clock.
    """

    def __init__(self, *, config, board, clock_mhz, accelerator=True):
        self._config = config
        self._board = board
        self._clock_mhz, _ = PLLS[board.family].find(board.clock_mhz, clock_mhz)
        self._accelerator = accelerator

    @property
    def clock_mhz(self):
        """Clock of the accelerator, MHz."""
        return self._clock_mhz

    def elaborate(self, platform):
        m = Module()
        board = self._board
        m.submodules.pll = pll = PLLS[board.family](
            pin=platform.request(platform.default_clk, dir="-"), input_mhz=board.clock_mhz, output_mhz=self.clock_mhz,
            device=board.device)
        self._clock(m, pll)
        m.submodules.shell = shell = Shell(
            config=self._config, board=board.name, memory_bytes=board.main_memory, clock_hz=round(self.clock_mhz * 1e6),
            baud=board.baud, accelerator=self._accelerator, single_port=board.single_port, ram_width=board.ram_width)
        lines = [entry.name for entry in platform.lookup("uart", 0).ios]
        uart = platform.request("uart", 0, dir=dict.fromkeys(lines, "-"))
        m.submodules.rx = rx = io.Buffer("i", uart.rx)
        m.submodules.tx = tx = io.Buffer("o", uart.tx)
        m.d.comb += [shell.rx.eq(rx.i), tx.o.eq(shell.tx)]
        self._lights(m, platform, shell)
        return m

    def _clock(self, m, pll):
        """The domain `sync`: the clock of the PLL, in reset until that has been locked for a while."""
        m.domains.sync = ClockDomain()
        locked = Signal()
        # No reset of their own: they make it.
        m.domains.start = start = ClockDomain(reset_less=True, local=True)
        m.submodules.synchroniser = FFSynchronizer(pll.locked, locked, o_domain="start")
        waited = Signal(_RESET_CYCLES_LOG2 + 1)
        reset = Signal(init=1)
        m.d.comb += [start.clk.eq(pll.clk), ClockSignal().eq(pll.clk), ResetSignal().eq(reset)]
        m.d.start += reset.eq(~waited[-1])
        with m.If(~locked):
            m.d.start += waited.eq(0)
        with m.Elif(~waited[-1]):
            m.d.start += waited.eq(waited + 1)

    def _lights(self, m, platform, shell):
        requested = {}
        for name in _LIGHTS:
            if name in self._board.lights:
                resource, number, *part = self._board.lights[name]
                if (resource, number) not in requested:
                    parts = [other[2] for other in self._board.lights.values() if other[:2] == (resource, number) and other[2:]]
                    requested[resource, number] = platform.request(resource, number, dir=dict.fromkeys(parts, "-") or "-")
                port = requested[resource, number]
                m.submodules[name] = light = io.Buffer("o", getattr(port, part[0]) if part else port)
                m.d.comb += light.o.eq(getattr(shell, name))
