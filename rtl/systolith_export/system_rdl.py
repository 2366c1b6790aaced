"""SystemRDL 2.0 and IP-XACT of the registers."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from peakrdl_ipxact import IPXACTExporter
from systemrdl import RDLCompiler

from systolith_spec.registers import REGISTERS, Register

__all__ = ["ip_xact", "system_rdl"]

# Software and hardware access of fields; strobes last one cycle.
_ACCESS = {"ro": "sw = r; hw = w;", "rw": "sw = rw; hw = r;", "wo": "sw = w; hw = r; singlepulse;"}


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _register(entry: Register, constants: Mapping[str, int]) -> list[str]:
    fixed = entry.name in constants
    reset = constants.get(entry.name, entry.reset)
    lines = ["    reg {", f"        desc = {_text(entry.description)};"]
    parts = [(field.name, field.lsb, field.width, field.description) for field in entry.fields]
    for name, lsb, width, description in parts or [("value", 0, 32, entry.description)]:
        value = reset >> lsb & ((1 << width) - 1)
        access = "sw = r; hw = na;" if fixed else _ACCESS[entry.access]
        lines += [f"        field {{ desc = {_text(description)}; {access} }} "
                  f"{name}[{lsb + width - 1}:{lsb}] = {width}'h{value:x};"]
    return [*lines, f"    }} {entry.name} @ 0x{entry.offset:03X};"]


def system_rdl(constants: Mapping[str, int]) -> str:
    """Return the registers as SystemRDL.

    Parameters
    ----------
    constants : mapping of str to int
        Values of the registers that describe the hardware.

    Returns
    -------
    str
        One ``addrmap systolith``.
    """
    lines = ["// Registers of Systolith. Generated from their table; do not edit.", "addrmap systolith {",
             '    name = "Systolith";', '    desc = "AXI4-Lite registers of the accelerator";',
             "    default regwidth = 32;", "    default accesswidth = 32;", "    littleendian;", "    lsb0;", ""]
    for entry in REGISTERS:
        lines += [*_register(entry, constants), ""]
    return "\n".join([*lines, "};", ""])


def ip_xact(rdl: str, version: str) -> str:
    """Return IP-XACT (IEEE 1685-2014) of registers in SystemRDL.

    Parameters
    ----------
    rdl : str
        Result of :func:`system_rdl`.
    version : str
        Version of the component.

    Returns
    -------
    str
        A component with its memory map; buses and ports are in the manifest.
    """
    with tempfile.TemporaryDirectory(prefix="systolith_") as folder:
        source, target = Path(folder) / "systolith.rdl", Path(folder) / "systolith.xml"
        source.write_text(rdl)
        compiler = RDLCompiler()
        compiler.compile_file(str(source))
        exporter = IPXACTExporter(vendor="systolith", library="accelerator", version=version)
        exporter.export(compiler.elaborate(), str(target), component_name="systolith")
        return target.read_text()
