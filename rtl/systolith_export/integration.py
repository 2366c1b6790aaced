"""All files for a SoC, by name."""

from collections.abc import Mapping
from importlib import resources

from systolith_export.c_header import c_header
from systolith_export.core_file import core_file
from systolith_export.svd import svd
from systolith_export.system_rdl import ip_xact, system_rdl

__all__ = ["DRIVER_FILES", "integration_files"]

DRIVER_FILES = ("systolith.h", "systolith.c")
"""The C driver; it includes ``systolith_regs.h``."""
_WRAPPER = "systolith_litex.py"


def integration_files(name: str, constants: Mapping[str, int], version: str) -> dict[str, str]:
    """Return name and text of each file that goes with the Verilog of a configuration.

    Parameters
    ----------
    name : str
        Name of the configuration.
    constants : mapping of str to int
        Values of the registers that describe the hardware.
    version : str

    Returns
    -------
    dict of str to str
        C driver and its register header, SystemRDL, IP-XACT, CMSIS-SVD, FuseSoC core file, LiteX wrapper.
    """
    folder = resources.files("systolith_export") / "files"
    rdl = system_rdl(constants)
    return {
        "systolith_regs.h": c_header(),
        **{file: (folder / file).read_text() for file in (*DRIVER_FILES, _WRAPPER)},
        "systolith.rdl": rdl,
        "systolith.xml": ip_xact(rdl, version),
        "systolith.svd": svd(constants, version),
        "systolith.core": core_file(name, version),
    }
