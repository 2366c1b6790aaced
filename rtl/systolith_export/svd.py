"""CMSIS-SVD of the registers, for debuggers and code generators."""

from collections.abc import Mapping
from xml.etree import ElementTree

from systolith_spec.registers import REGISTERS, ErrorCode, Register, RegisterField

__all__ = ["svd"]

_ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}
_PAGE = 4096


def _add(parent, **texts):
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _field(parent, field: RegisterField, access: str, is_error_code: bool) -> None:
    node = ElementTree.SubElement(parent, "field")
    _add(node, name=field.name, description=field.description, bitOffset=field.lsb, bitWidth=field.width, access=access)
    if is_error_code:
        values = ElementTree.SubElement(node, "enumeratedValues")
        for code in ErrorCode:
            _add(ElementTree.SubElement(values, "enumeratedValue"), name=code.name, value=int(code))


def _register(parent, entry: Register, constants: Mapping[str, int]) -> None:
    node = ElementTree.SubElement(parent, "register")
    _add(node, name=entry.name, description=entry.description, addressOffset=f"0x{entry.offset:03X}", size=32,
         access=_ACCESS[entry.access], resetValue=f"0x{constants.get(entry.name, entry.reset):08X}")
    if entry.fields:
        fields = ElementTree.SubElement(node, "fields")
        for field in entry.fields:
            _field(fields, field, _ACCESS[entry.access], (entry.name, field.name) == ("ERROR", "code"))


def svd(constants: Mapping[str, int], version: str, base: int = 0) -> str:
    """Return the registers as CMSIS-SVD 1.3.

    Parameters
    ----------
    constants : mapping of str to int
        Values of the registers that describe the hardware.
    version : str
        Version of the device.
    base : int
        Byte address of the registers; a SoC replaces it by its own.

    Returns
    -------
    str
        A device with the one peripheral SYSTOLITH.
    """
    device = ElementTree.Element("device", {
        "schemaVersion": "1.3", "xmlns:xs": "http://www.w3.org/2001/XMLSchema-instance",
        "xs:noNamespaceSchemaLocation": "CMSIS-SVD.xsd"})
    _add(device, name="systolith", version=version, description="Systolith, an int8 neural-network accelerator",
         addressUnitBits=8, width=32, size=32, access="read-write", resetValue="0x00000000", resetMask="0xFFFFFFFF")
    peripheral = ElementTree.SubElement(ElementTree.SubElement(device, "peripherals"), "peripheral")
    _add(peripheral, name="SYSTOLITH", version=version, description="AXI4-Lite registers of the accelerator",
         groupName="SYSTOLITH", baseAddress=f"0x{base:08X}")
    _add(ElementTree.SubElement(peripheral, "addressBlock"), offset="0x0", size=f"0x{_PAGE:X}", usage="registers")
    registers = ElementTree.SubElement(peripheral, "registers")
    for entry in REGISTERS:
        _register(registers, entry, constants)
    ElementTree.indent(device)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(device, encoding="unicode") + "\n"
