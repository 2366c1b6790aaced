"""A whole board as a simulation behind a pseudo-terminal: what `systolith run --target serial:...` can be tried on."""

import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

from systolith_sim.cocotb_run import SimulationError, run
from systolith_sim.yosys_cells import yosys_cells

__all__ = ["SimulatedBoard", "simulated_board"]

_CELLS = {"ecp5": (), "ice40": ("SB_MAC16", "SB_SPRAM256KA")}
"""Models of yosys that a family's board needs, besides those of its pins."""


class SimulatedBoard:
    """A running simulation.

    Attributes
    ----------
    port : str
        Device to open instead of a serial port.
    lights : dict of str to int
        Levels of the pins of lights when the simulation ended.
    """

    def __init__(self, port: str):
        self.port = port
        self.lights: dict[str, int] = {}


@contextmanager
def simulated_board(verilog: str, *, clock: str, rx: str, tx: str, divisor: int, family: str = "ecp5",
                    lights: Mapping[str, str] | None = None, timeout_seconds: float = 600.0, waves: Path | None = None):
    """Simulate the top level of a board while the body of the `with` statement runs.

    Parameters
    ----------
    verilog : str
        Module `top`, with pins and PLL of the family; of its other primitives those of the iCE40 UltraPlus may be there.
    clock, rx, tx : str
        Its ports.
    divisor : int
        Clock cycles of a bit of the UART.
    family : str
        Of the FPGA: ``"ecp5"`` or ``"ice40"``.
    lights : mapping of str to str
        Ports to be read at the end, by name.
    timeout_seconds : float
        Wall-clock limit, of the start as well.
    waves : Path or None

    Yields
    ------
    SimulatedBoard

    Raises
    ------
    SimulationError
        The simulation failed.
    ValueError
        There are no models of the family.
    """
    if family not in _CELLS:
        raise ValueError(f"Family of a simulated board must be one of {', '.join(_CELLS)}, not {family!r}")
    sources = [Path(__file__).with_name(f"{family}_pins.sv")]
    if _CELLS[family]:
        sources.append("`timescale 1ns/1ps\n" + yosys_cells(family, *_CELLS[family]))
    with tempfile.TemporaryDirectory(prefix="systolith-") as folder:
        name_file = Path(folder) / "port"
        outcome: dict = {}

        def simulate() -> None:
            try:
                outcome["results"] = run(
                    verilog, top="top", test_module="systolith_sim.board_tb", extra_sources=sources, optimise="2",
                    verilator_arguments=("-Wno-fatal",),
                    arguments={"name_file": str(name_file), "clock": clock, "rx": rx, "tx": tx, "divisor": divisor,
                               "lights": dict(lights or {})},
                    waves=waves, timeout_seconds=timeout_seconds)
            except Exception as error:  # handed to the thread that can do something about it
                outcome["error"] = error

        thread = threading.Thread(target=simulate)
        thread.start()
        try:
            deadline = time.monotonic() + timeout_seconds
            while not name_file.exists():
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise outcome.get("error") or SimulationError("The simulated board has not started")
                time.sleep(0.05)
            board = SimulatedBoard(name_file.read_text())
            yield board
        finally:
            name_file.unlink(missing_ok=True)
            thread.join()
        if "error" in outcome:
            raise outcome["error"]
        board.lights = outcome["results"].records[0]["lights"]
