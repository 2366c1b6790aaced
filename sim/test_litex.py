"""The LiteX wrapper, elaborated in a SoC."""

import importlib.util
import json
import os
import re
import subprocess

import pytest

from systolith.generate import generate
from systolith_sim.verilator_build import find_verilator
from systolith_spec.presets import preset

litex = pytest.importorskip("litex.soc.integration.soc_core",
                            reason="the packages litex and migen are not installed: pip install systolith[litex]")
sim = pytest.importorskip("litex.build.sim")
io = pytest.importorskip("litex.build.io")
pins = pytest.importorskip("litex.build.generic_platform")

ORIGIN = 0x9000_0000
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")  # of LiteX


@pytest.fixture(scope="module")
def soc(tmp_path_factory):
    """Text of a SoC with an accelerator and no processor, the accelerator's folder, and the SoC."""
    folder = tmp_path_factory.mktemp("litex")
    generate(preset("tiny-4x4"), folder)
    specification = importlib.util.spec_from_file_location("systolith_litex", folder / "systolith_litex.py")
    wrapper = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(wrapper)
    platform = sim.SimPlatform("SIM", [("sys_clk", 0, pins.Pins(1))])
    soc = litex.SoCCore(platform, clk_freq=int(50e6), cpu_type=None, integrated_main_ram_size=1 << 16, with_uart=False,
                        with_timer=False, bus_standard="axi", ident="", ident_version=False)
    soc.crg = io.CRG(platform.request("sys_clk"))
    soc.systolith = wrapper.Systolith(folder)
    soc.systolith.attach(soc, ORIGIN)
    soc.finalize()
    return platform.get_verilog(soc).main_source, folder, soc


def test_every_port_is_connected(soc):
    text, folder, _ = soc
    connected = set(re.findall(r"\.(\w+)\s*\(\w", re.search(r"\nsystolith systolith\((.*?)\n\);", text, re.DOTALL)[1]))
    ports = {port["name"] for port in json.loads((folder / "manifest.json").read_text())["ports"]}
    assert connected == ports - {"trace_retire", "trace_layer"}


def test_buses_and_memory_map(soc):
    _, folder, soc = soc
    assert soc.bus.regions["systolith"].origin == ORIGIN and soc.bus.regions["systolith"].size == 4096
    assert "systolith" in soc.bus.masters
    assert (str(folder / "systolith.v"), "verilog", "work") in soc.platform.sources


def test_verilator_accepts_the_soc(soc, tmp_path):
    verilator = find_verilator()
    if verilator is None:
        pytest.skip("Verilator is not installed")
    text, folder, _ = soc
    (tmp_path / "soc.v").write_text(text)
    command = [verilator.binary, "--lint-only", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-PROCASSINIT",
               "--top-module", "top", tmp_path / "soc.v", folder / "systolith.v"]
    result = subprocess.run(command, env={**os.environ, "VERILATOR_ROOT": str(verilator.root)}, cwd=tmp_path,
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
