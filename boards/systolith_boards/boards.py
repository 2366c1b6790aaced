"""Boards for which an accelerator can be synthesised."""

from dataclasses import dataclass

__all__ = ["Board", "BOARDS", "board"]

_CAPACITY = {
    "LFE5U-25F": {"lut": 24288, "ff": 24288, "dsp": 28, "bram": 56},
    "LFE5U-45F": {"lut": 43848, "ff": 43848, "dsp": 72, "bram": 108},
    "LFE5U-85F": {"lut": 83640, "ff": 83640, "dsp": 156, "bram": 208},
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
        FPGA family, which selects the tools: ``"ecp5"``.
    device : str
        FPGA, as its maker names it, without package and speed grade.
    package : str
        Package, as nextpnr names it.
    speed : str
        Speed grade of the FPGA on the board; larger is faster.
    preset : str
        Name of the configuration meant for this board.
    clock_mhz : float
        Oscillator on the board, MHz.
    memory : str
        External memory, for people.
    platform : str
        Class in amaranth-boards that holds pins and clocks, as ``module:class``.
    """

    name: str
    title: str
    family: str
    device: str
    package: str
    speed: str
    preset: str
    clock_mhz: float
    memory: str
    platform: str

    @property
    def part(self) -> str:
        """FPGA with speed grade and package, such as ``LFE5U-85F-6CABGA381``."""
        return f"{self.device}-{self.speed}{self.package}"

    @property
    def capacity(self) -> dict[str, int]:
        """Number of LUT4s, flip-flops, 18x18 multipliers and 18-kbit block RAMs of the FPGA."""
        return dict(_CAPACITY[self.device])


_ALL = (
    Board(
        name="ulx3s-85f",
        title="Radiona ULX3S 85F",
        family="ecp5",
        device="LFE5U-85F",
        package="CABGA381",
        speed="6",
        preset="ulx3s-85f",
        clock_mhz=25.0,
        memory="32 MiB SDRAM, 16 bit",
        platform="amaranth_boards.ulx3s:ULX3S_85F_Platform",
    ),
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
