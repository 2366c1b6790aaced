"""The command `systolith array`."""

import json

import pytest
from typer.testing import CliRunner

from systolith_cli.main import app


@pytest.mark.parametrize(("family", "options", "dsp", "lut"), [
    ("nexus", ("--dsp-sums",), {"MULTADDSUB9X9WIDE": 4}, 8),
    ("ice40", (), {"SB_MAC16": 8}, 220),
])
def test_array_alone(tmp_path, family, options, dsp, lut):
    """The command; no LUTs but for the flags where DSP blocks multiply and add."""
    file = tmp_path / "array.json"
    result = CliRunner().invoke(app, ["array", "--config", "4x4", "--family", family, *options, "--out", str(tmp_path),
                                      "--json", str(file)])
    assert result.exit_code == 0, result.output
    values = json.loads(file.read_text())
    assert {name: values["cells"][name] for name in dsp} == dsp
    assert values["lut"] <= lut and values["lut_per_multiplier"] == round(values["lut"] / 16, 2)


def test_array_with_sums_in_dsp_blocks_is_placed_and_routed(tmp_path, monkeypatch):
    monkeypatch.setenv("SYSTOLITH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "array.json"
    result = CliRunner().invoke(app, ["array", "--config", "4x2", "--dsp-sums", "--out", str(tmp_path), "--json", str(file)])
    assert result.exit_code == 0, result.output
    values = json.loads(file.read_text())
    assert (values["dsp"], values["multipliers"]) == (8, 8) and values["lut_per_multiplier"] < 1
    assert values["fmax_mhz"] > 200


def test_array_of_an_unknown_family(tmp_path):
    result = CliRunner().invoke(app, ["array", "--family", "virtex", "--out", str(tmp_path)])
    assert result.exit_code == 2 and "Family must be one of ecp5, ice40, gowin, nexus, not 'virtex'" in result.output
