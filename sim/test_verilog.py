"""Tests of the Verilog conversion."""

import re
import subprocess
import sys

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.generate import generate
from systolith_sim.verilog import cached_verilog, port_names, to_verilog
from systolith_spec.presets import PRESETS

SCRIPT = """
import test_verilog
print(test_verilog.to_verilog(test_verilog.TwoClocks(), "two_clocks", domains=("sync", "other")))
"""


class TwoClocks(wiring.Component):
    """One register in each of two clock domains."""

    a: In(8)
    b: Out(8)
    c: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.other += self.c.eq(self.a)
        m.d.sync += self.b.eq(self.a)
        return m


def test_same_bytes_whatever_the_hash_seed(request):
    texts = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
        process = subprocess.run([sys.executable, "-c", SCRIPT], cwd=request.path.parent, env=environment,
                                 check=True, timeout=60, capture_output=True, text=True)
        texts.add(process.stdout)
    (text,) = texts
    assert port_names(text, "two_clocks") == ["clk", "rst", "other_clk", "other_rst", "b", "c", "a"]
    assert "test_verilog.py" not in text


def test_no_source_locations():
    text = to_verilog(TwoClocks(), "two_clocks", domains=("sync", "other"))
    assert "test_verilog.py" not in text
    assert "src" not in text


def test_unordered_clock_domains_are_refused():
    with pytest.raises(ValueError, match=r"^Clock domains must be listed in order, not left to chance: \['o"):
        to_verilog(TwoClocks(), "two_clocks")


def test_cached_text_is_elaborated_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(TwoClocks())
        return made[-1]

    def cached(key):
        return cached_verilog(make, "top", key=key, packages=["systolith_sim"], domains=["sync", "other"])

    assert cached(1) == cached(1) == to_verilog(TwoClocks(), "top", domains=["sync", "other"])
    assert len(made) == 1
    assert cached(2) == cached(1)
    assert len(made) == 2


def test_refuses_other_objects():
    with pytest.raises(TypeError, match=r"^Component must be a wiring.Component, not 3$"):
        to_verilog(3, "top")


@pytest.mark.parametrize(("text", "names"), [
    ("module t(a, b, \\c ); input a;", ["a", "b", "\\c"]),
    ("module t; endmodule", []),
    ("/* module t(x); */ module u(y); endmodule\nmodule t (z); endmodule", ["z"]),
    ("module t #(parameter W = (1 + 2)) (input wire [W-1:0] a, // in, put\n output logic [3:0] b, c);",
     ["a", "b", "c"]),
    ("(* top = 1 *)\nmodule t #(\n  parameter A = 1,\n  parameter B = 2\n) (\n  input clk\n);", ["clk"]),
])
def test_port_names(text, names):
    assert port_names(text, "t") == names


def test_port_names_needs_the_module():
    with pytest.raises(ValueError, match=r"^Module must be in the Verilog text, not missing: 't'$"):
        port_names("module tt(a); endmodule", "t")


@pytest.mark.parametrize("name", ["nano-4x4", "tiny-4x4"])
def test_no_process_without_inputs(name, tmp_path):
    """``always @*`` never runs for a constant, so simulators would disagree with synthesis."""
    generate(PRESETS[name], tmp_path)
    text = (tmp_path / "systolith.v").read_text()
    assert "always @*" in text
    assert not re.search(r"always @\*\n\s+\S[^\n]* = \d+'h[0-9a-f]+ *;", text)
