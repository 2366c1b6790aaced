"""Tests of the generated files."""

import json
import os
import subprocess
import sys

from systolith.generate import generate, manifest
from systolith.verilog import port_names
from systolith_spec.presets import PRESETS, preset
from systolith_spec.registers import REGISTERS

_SCRIPT = """
import sys
from systolith.generate import generate
from systolith_spec.presets import preset
generate(preset("tiny-4x4"), sys.argv[1])
"""
_ADDRESS = ["valid", "ready", "addr", "len", "size", "burst", "id"]
_AXI4 = {"aw": _ADDRESS, "w": ["valid", "ready", "data", "strb", "last"], "b": ["valid", "ready", "resp", "id"],
         "ar": _ADDRESS, "r": ["valid", "ready", "data", "resp", "last", "id"]}
_LITE_ADDRESS = ["valid", "ready", "addr", "prot"]
_AXI4_LITE = {"aw": _LITE_ADDRESS, "w": ["valid", "ready", "data", "strb"], "b": ["valid", "ready", "resp"],
              "ar": _LITE_ADDRESS, "r": ["valid", "ready", "data", "resp"]}
PORTS = {*(f"m_axi_{channel}{name}" for channel, names in _AXI4.items() for name in names),
         *(f"s_axil_{channel}{name}" for channel, names in _AXI4_LITE.items() for name in names),
         "clk", "rst", "irq", "trace_retire", "trace_layer"}

OTHERS = {"systolith_regs.h", "systolith.h", "systolith.c", "systolith.rdl", "systolith.xml", "systolith.svd",
          "systolith.core", "systolith_litex.py"}


def test_same_bytes_in_every_process(tmp_path):
    for seed in ("1", "2"):
        subprocess.run([sys.executable, "-c", _SCRIPT, tmp_path / seed], check=True, timeout=300,
                       env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)})
    for name in ("systolith.v", "manifest.json", *OTHERS):
        text = (tmp_path / "1" / name).read_bytes()
        assert len(text) > 500
        assert text == (tmp_path / "2" / name).read_bytes(), name


def test_files_and_ports(tmp_path):
    verilog_file, manifest_file, *others = generate(preset("tiny-4x4"), tmp_path / "new" / "folder")
    assert (verilog_file.name, manifest_file.name) == ("systolith.v", "manifest.json")
    assert {path.name for path in others} == OTHERS
    text = verilog_file.read_text()
    assert set(port_names(text, "systolith")) == PORTS
    data = json.loads(manifest_file.read_text())
    assert {port["name"] for port in data["ports"]} == PORTS
    for port in data["ports"]:
        bits = f"[{port['width'] - 1}:0] " if port["width"] > 1 else ""
        assert f"  {port['direction']} {bits}{port['name']};" in text, port


def test_manifest_of_every_preset():
    for name, config in PRESETS.items():
        data = manifest(config)
        assert data["name"] == name
        assert data["parameters"] == config.as_dict()
        assert [entry["name"] for entry in data["registers"]] == [entry.name for entry in REGISTERS]
        width = {port["name"]: port["width"] for port in data["ports"]}
        assert width["m_axi_rdata"] == config.axi_data_width
        assert width["m_axi_wstrb"] == config.axi_bytes
        assert data["latencies"]["systolic_array"] >= config.rows
        assert data["command_set"]["version"] == "0.3.0"
        json.dumps(data)
