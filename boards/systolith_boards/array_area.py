"""Cells of the array alone, for any family that yosys knows: no placement, no clock."""

import json
import tempfile
from pathlib import Path

from systolith_boards.tools import YOSYS, run_tool

__all__ = ["FAMILIES", "array_cells"]

FAMILIES = {"ecp5": "synth_ecp5", "ice40": "synth_ice40 -device u -dsp", "gowin": "synth_gowin -noiopads",
            "nexus": "synth_nexus -noiopad"}
"""Command of yosys for each family."""
_LUTS = {"LUT4": 1, "CCU2C": 2, "SB_LUT4": 1, "LUT1": 1, "LUT2": 1, "LUT3": 1, "ALU": 1, "CCU2": 2, "WIDEFN9": 2}


def array_cells(verilog: str, top: str, family: str) -> tuple[dict[str, int], int]:
    """Synthesise a design without placing it.

    Parameters
    ----------
    verilog : str
    top : str
    family : str
        Key of :data:`FAMILIES`.

    Returns
    -------
    dict of str to int, int
        Cells by type, and LUT4s: carry chains count as the LUTs that they take up.

    Raises
    ------
    SynthesisError
        The design cannot be synthesised.
    """
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        folder = Path(folder)
        (folder / "design.v").write_text(verilog)
        script = f"read_verilog -sv design.v; {FAMILIES[family]} -top {top}; tee -o cells.json stat -json -top {top}"
        run_tool(YOSYS, ["-p", script], folder=folder, log="yosys.log")
        text = (folder / "cells.json").read_text()
    cells = json.loads(text[text.index("{"):])["design"]["num_cells_by_type"]
    cells = {name: count for name, count in cells.items() if name != "$scopeinfo"}
    return cells, sum(count * _LUTS.get(name, 0) for name, count in cells.items())
