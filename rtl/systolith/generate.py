"""Generated files: the Verilog of an accelerator, a manifest that describes it, and what a SoC needs beside it."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from systolith.accelerator import Accelerator, accelerator_latencies, accelerator_members
from systolith.command_processor import register_constants
from systolith.verilog import to_verilog
from systolith_export.integration import integration_files
from systolith_spec.commands import COMMAND_BYTES, COMMANDS
from systolith_spec.registers import REGISTERS, VERSION_VALUE, ErrorCode

__all__ = ["TOP_MODULE", "generate", "manifest"]

TOP_MODULE = "systolith"
"""Name of the generated top module."""


def _package_version():
    try:
        return version("systolith")
    except PackageNotFoundError:
        return "0.1.0"


def _version_text(value):
    return f"{value >> 16}.{value >> 8 & 0xFF}.{value & 0xFF}"


def _ports(config):
    ports = [{"name": "clk", "direction": "input", "width": 1}, {"name": "rst", "direction": "input", "width": 1}]
    for name, member in accelerator_members(config).items():
        ports.append({
            "name": name,
            "direction": "input" if member.flow == In else "output",
            "width": Shape.cast(member.shape).width,
        })
    return ports


def _field(entry):
    return {"name": entry.name, "lsb": entry.lsb, "width": entry.width, "description": entry.description}


def manifest(config):
    """Description of an accelerator as plain data.

    Parameters
    ----------
    config : AcceleratorConfig

    Returns
    -------
    dict
        ``name``, ``version``, ``top``, ``parameters`` (the configuration), ``derived`` (values that follow from
        it), ``ports`` (name, direction, width in bits), ``registers``, ``error_codes``, ``command_set``
        (version, bytes and opcodes) and ``latencies`` (cycles).
    """
    return {
        "name": config.name,
        "version": _package_version(),
        "top": TOP_MODULE,
        "parameters": config.as_dict(),
        "derived": {
            "processing_elements": config.processing_elements,
            "axi_bytes": config.axi_bytes,
            "activation_word": config.activation_word,
            "weight_alignment": config.weight_alignment,
            "tile_bytes": config.tile_bytes,
            "sum_width": config.sum_width,
        },
        "ports": _ports(config),
        "registers": [
            {"name": entry.name, "offset": entry.offset, "access": entry.access, "reset": entry.reset,
             "description": entry.description, "fields": [_field(field) for field in entry.fields]}
            for entry in REGISTERS
        ],
        "error_codes": {code.name: int(code) for code in ErrorCode},
        "command_set": {
            "version": _version_text(VERSION_VALUE),
            "bytes": COMMAND_BYTES,
            "opcodes": {command.name: int(command.opcode) for command in COMMANDS},
        },
        "latencies": accelerator_latencies(config),
    }


def generate(config, out_dir):
    """Write ``systolith.v``, ``manifest.json`` and the files of :func:`~systolith_export.integration.integration_files`.

    The same configuration gives the same bytes, in every process.

    Parameters
    ----------
    config : AcceleratorConfig
    out_dir : path
        Folder, made if it does not exist.

    Returns
    -------
    list of Path
        The files written.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    verilog_file = out_dir / f"{TOP_MODULE}.v"
    manifest_file = out_dir / "manifest.json"
    manifest_file.write_text(json.dumps(manifest(config), indent=2) + "\n")
    verilog_file.write_text(to_verilog(Accelerator(config=config), TOP_MODULE))
    others = integration_files(config.name, register_constants(config), _package_version())
    for name, text in others.items():
        (out_dir / name).write_text(text)
    return [verilog_file, manifest_file, *(out_dir / name for name in others)]
