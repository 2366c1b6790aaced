"""Boards for which an accelerator can be synthesised."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Board", "BOARDS", "board"]

_KIB = 1024

# What nextpnr finds in each FPGA. DSPs are counted in multipliers of 18x18 bits (ECP5), of 16x16 (iCE40) or of 9x9 (Gowin).
_CAPACITY = {
    "LFE5U-25F": {"lut": 24288, "ff": 24288, "dsp": 28, "bram": 56},
    "LFE5U-45F": {"lut": 43848, "ff": 43848, "dsp": 72, "bram": 108},
    "LFE5U-85F": {"lut": 83640, "ff": 83640, "dsp": 156, "bram": 208},
    "iCE40UP5K": {"lut": 5280, "ff": 5280, "dsp": 8, "bram": 30},
    "GW1NR-LV9": {"lut": 8640, "ff": 6480, "dsp": 40, "bram": 26},
    "GW2A-LV18": {"lut": 20736, "ff": 15552, "dsp": 96, "bram": 46},
}


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board and the FPGA on it.

    Attributes
    ----------
    name : str
        Name on the command line.
    title : str
        Name a person would use.
    family : str
        FPGA family, which selects the tools: ``"ecp5"``, ``"ice40"`` or ``"gowin"``.
    device : str
        FPGA, as its maker names it, without package and speed grade.
    package : str
        Package, as nextpnr names it.
    speed : str
        Speed grade of the FPGA on the board; empty where there is but one.
    preset : str
        Name of the configuration meant for this board.
    clock_mhz : float
        Oscillator on the board, MHz.
    target_mhz : float
        Clock of the accelerator unless another is asked for, MHz; made by a PLL.
    main_memory : int
        Main memory of the accelerator on the FPGA, bytes.
    single_port : bool
        It is in single-port RAM, not in block RAM.
    ram_width : int or None
        Bits of a word of that RAM, where they are fewer than those of the bus.
    memory : str
        Memory, for people.
    platform : str
        Class in amaranth-boards that holds pins and clocks, as ``module:class``.
    baud : int
        Of the UART.
    lights : mapping
        For ``heartbeat``, ``busy``, ``done`` and ``error``, as far as there are lights: resource, its number and, for
        lights of several colours, its part.
    uart_pins : tuple of str
        Connector, its number, and pins there (rx, tx), where the board has no UART of its own.
    """

    name: str
    title: str
    family: str
    device: str
    package: str
    speed: str
    preset: str
    clock_mhz: float
    target_mhz: float
    main_memory: int
    memory: str
    platform: str
    single_port: bool = False
    ram_width: int | None = None
    baud: int = 1_000_000
    lights: Mapping[str, tuple] = field(default_factory=dict)
    uart_pins: tuple = ()

    @property
    def part(self) -> str:
        """FPGA with speed grade and package, such as ``LFE5U-85F-6CABGA381``."""
        if self.family == "gowin":
            return f"{self.device}{self.package}{self.speed}"
        return f"{self.device}-{self.speed}{self.package}"

    @property
    def capacity(self) -> dict[str, int]:
        """LUT4s, flip-flops, multipliers and block RAMs of the FPGA."""
        return dict(_CAPACITY[self.device])

    def make_platform(self):
        """Return a new `amaranth.build.Platform` with the pins of the board."""
        from amaranth.build import Attrs
        from amaranth_boards.resources import UARTResource

        module, name = self.platform.split(":")
        platform = getattr(importlib.import_module(module), name)()
        if self.uart_pins:
            connector, number, rx, tx = self.uart_pins
            platform.add_resources([UARTResource(0, rx=rx, tx=tx, conn=(connector, number), attrs=Attrs(IO_TYPE="LVCMOS33"))])
        return platform


def _leds(*numbers):
    """Lights on single LEDs."""
    return dict(zip(("heartbeat", "busy", "done", "error"), (("led", number) for number in numbers)))


_ALL = (
    Board(
        name="ulx3s-85f", title="Radiona ULX3S 85F", family="ecp5", device="LFE5U-85F", package="CABGA381", speed="6",
        preset="ulx3s-85f", clock_mhz=25.0, target_mhz=105.0, main_memory=192 * _KIB,
        memory="192 KiB block RAM (32 MiB SDRAM, 16 bit: not used)",
        platform="amaranth_boards.ulx3s:ULX3S_85F_Platform", lights=_leds(0, 1, 2, 3)),
    Board(
        name="orangecrab-25f", title="OrangeCrab r0.2 25F", family="ecp5", device="LFE5U-25F", package="CSFBGA285", speed="8",
        preset="orangecrab-25f", clock_mhz=48.0, target_mhz=120.0, main_memory=32 * _KIB,
        memory="32 KiB block RAM (128 MiB DDR3: not used)",
        platform="amaranth_boards.orangecrab_r0_2:OrangeCrabR0_2_25FPlatform",
        lights={"busy": ("rgb_led", 0, "b"), "done": ("rgb_led", 0, "g"), "error": ("rgb_led", 0, "r")},
        uart_pins=("io", 0, "0", "1")),
    Board(
        name="icebreaker", title="1BitSquared iCEBreaker", family="ice40", device="iCE40UP5K", package="SG48", speed="",
        preset="icebreaker", clock_mhz=12.0, target_mhz=34.5, main_memory=96 * _KIB, single_port=True, ram_width=16,
        memory="96 KiB SPRAM, three of four",
        platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
        lights={"heartbeat": ("led_g", 0), "error": ("led_r", 0)}),
    Board(
        name="tang-nano-9k", title="Sipeed Tang Nano 9K", family="gowin", device="GW1NR-LV9", package="QN88P", speed="C6/I5",
        preset="tang-nano-9k", clock_mhz=27.0, target_mhz=81.0, main_memory=16 * _KIB,
        memory="16 KiB block RAM (8 MiB PSRAM: not used)",
        platform="amaranth_boards.tang_nano_9k:TangNano9kPlatform", lights=_leds(0, 1, 2, 3)),
    Board(
        name="tang-primer-20k", title="Sipeed Tang Primer 20K with its dock", family="gowin", device="GW2A-LV18",
        package="PG256", speed="C8/I7", preset="tang-primer-20k", clock_mhz=27.0, target_mhz=99.0, main_memory=40 * _KIB,
        memory="40 KiB block RAM (128 MiB DDR3: not used)",
        platform="amaranth_boards.tang_primer_20k:TangPrimer20kDockPlatform", lights=_leds(0, 1, 2, 3)),
)

BOARDS: dict[str, Board] = {entry.name: entry for entry in _ALL}
"""Every board that can be built, by name."""


def board(name: str) -> Board:
    """Return the board with this name.

    Raises
    ------
    ValueError
        If there is no such board; the message lists those there are.
    """
    if name not in BOARDS:
        raise ValueError(f"Board must be one of {', '.join(BOARDS)}, not {name!r}")
    return BOARDS[name]
