"""What the flow asks of a toolchain."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from systolith_boards.boards import Board
from systolith_boards.progress import Progress

__all__ = ["PlacementJob"]


@dataclass(frozen=True)
class PlacementJob:
    """What is to be placed and routed.

    Attributes
    ----------
    board : Board
    folder : Path
        Of all the files.
    netlist, routed, report : str
        Files: input, input of the packer, timing report.
    frequency_mhz : float
    constraints : str or None
        File with the pins.
    cells : collection of str
        Types of cells in the netlist.
    single_run : bool
        Whether nextpnr alone is to find the places, in one run: cells have places already, or there is no time.
    seed : int
    run : callable
        Runs nextpnr with arguments and the seed; its second argument receives the progress.
    progress : callable
    """

    board: Board
    folder: Path
    netlist: str
    routed: str
    report: str
    frequency_mhz: float
    constraints: str | None
    cells: Collection[str]
    single_run: bool
    seed: int
    run: Callable[[list[str], Progress], None]
    progress: Progress
