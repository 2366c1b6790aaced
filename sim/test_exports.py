"""The files for a SoC describe the registers of the table; each is read by a library that others use."""

import re
import subprocess
from xml.etree import ElementTree

import pytest
from systemrdl import RDLCompiler
from systemrdl.node import RegNode

from systolith.command_processor import register_constants
from systolith_export.c_header import c_header, counter_registers
from systolith_export.integration import DRIVER_FILES, integration_files
from systolith_spec.presets import preset
from systolith_spec.registers import ID_VALUE, REGISTERS, ErrorCode

CONFIG = preset("tiny-4x4")
CONSTANTS = register_constants(CONFIG)
SOFTWARE = {"ro": (True, False), "rw": (True, True), "wo": (False, True)}
COMPILE = ("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all exported files."""
    folder = tmp_path_factory.mktemp("export")
    for name, text in integration_files(CONFIG.name, CONSTANTS, "1.2.3").items():
        (folder / name).write_text(text)
    return folder


def expected_fields(entry):
    """(name, lowest bit, width) of each field; a register without fields is one."""
    return [(field.name, field.lsb, field.width) for field in entry.fields] or [("value", 0, 32)]


def test_system_rdl(folder):
    compiler = RDLCompiler()
    compiler.compile_file(str(folder / "systolith.rdl"))
    nodes = [node for node in compiler.elaborate().top.children() if isinstance(node, RegNode)]
    assert [(node.inst_name, node.absolute_address) for node in nodes] == [(r.name, r.offset) for r in REGISTERS]
    for node, entry in zip(nodes, REGISTERS, strict=True):
        fields = list(node.fields())
        assert [(field.inst_name, field.lsb, field.width) for field in fields] == expected_fields(entry)
        assert all((field.is_sw_readable, field.is_sw_writable) == SOFTWARE[entry.access] for field in fields)
        reset = sum(field.get_property("reset") << field.lsb for field in fields)
        assert reset == CONSTANTS.get(entry.name, entry.reset)


def test_ip_xact(folder):
    space = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
    root = ElementTree.parse(folder / "systolith.xml").getroot()
    assert root.findtext("x:version", namespaces=space) == "1.2.3"
    nodes = root.findall(".//x:register", space)
    for node, entry in zip(nodes, REGISTERS, strict=True):
        offset = int(node.findtext("x:addressOffset", namespaces=space).removeprefix("'h"), 16)
        assert (node.findtext("x:name", namespaces=space), offset) == (entry.name, entry.offset)
        fields = [(field.findtext("x:name", namespaces=space),
                   int(field.findtext("x:bitOffset", namespaces=space)), int(field.findtext("x:bitWidth", namespaces=space)))
                  for field in node.findall("x:field", space)]
        assert fields == expected_fields(entry)


def test_svd(folder):
    parser = pytest.importorskip("cmsis_svd", reason="the package cmsis-svd is not installed").SVDParser
    device = parser.for_xml_file(str(folder / "systolith.svd")).get_device()
    (peripheral,) = device.peripherals
    access = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}
    for node, entry in zip(peripheral.registers, REGISTERS, strict=True):
        assert (node.name, node.address_offset, node.access.value) == (entry.name, entry.offset, access[entry.access])
        assert node.reset_value == CONSTANTS.get(entry.name, entry.reset)
        fields = [(field.name, field.bit_offset, field.bit_width) for field in node.fields]
        assert fields == [(field.name, field.lsb, field.width) for field in entry.fields]
    error = next(node for node in peripheral.registers if node.name == "ERROR")
    (values,) = error.fields[0].enumerated_values
    assert {value.name: value.value for value in values.enumerated_values} == {c.name: int(c) for c in ErrorCode}


def test_core_file(folder):
    coreparser = pytest.importorskip("fusesoc.capi2.coreparser", reason="the package fusesoc is not installed")
    core = coreparser.Core2Parser().read(str(folder / "systolith.core"))
    assert core["name"] == "systolith:accelerator:tiny-4x4:1.2.3"
    assert core["targets"]["default"]["toplevel"] == "systolith"
    files = {name if isinstance(name, str) else next(iter(name))
             for fileset in core["filesets"].values() for name in fileset["files"]}
    assert files == {"systolith.v", "systolith_regs.h", *DRIVER_FILES}


def test_c_header():
    text = c_header()
    values = {name: int(value, 0) for name, value in re.findall(r"#define (SYSTOLITH_\w+) (\w+)u\b", text)}
    assert values["SYSTOLITH_ID_VALUE"] == ID_VALUE
    for entry in REGISTERS:
        assert values[f"SYSTOLITH_{entry.name}"] == entry.offset
        for field in entry.fields:
            name = f"SYSTOLITH_{entry.name}_{field.name.upper()}"
            assert values[name] == (1 << field.width) - 1 << field.lsb and values[f"{name}_LSB"] == field.lsb
    members = re.search(r"struct systolith_counters \{(.*?)\}", text, re.DOTALL)[1]
    assert re.findall(r"uint32_t (\w+);", members) == [entry.name.lower() for entry in counter_registers()]
    assert counter_registers()[0].name == "CYCLES" and counter_registers()[-1].name == "STORE_STALL_OUTPUT"


@pytest.mark.parametrize("options", [("-O2",), ("-O0", "-m32")], ids=["64 bit", "32 bit"])
def test_driver_compiles_without_warnings(folder, tmp_path, options):
    if "-m32" in options:  # without the headers of a 32-bit C library: only the compiler's own
        (tmp_path / "string.h").write_text(
            "#include <stddef.h>\nvoid *memcpy(void *, const void *, size_t);\nvoid *memset(void *, int, size_t);\n"
            "int memcmp(const void *, const void *, size_t);\nsize_t strlen(const char *);\n"
            "char *strchr(const char *, int);\n")
        options = (*options, "-ffreestanding", "-I", str(tmp_path))
    result = subprocess.run([*COMPILE, *options, "-c", str(folder / "systolith.c"), "-o", str(tmp_path / "systolith.o")],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
