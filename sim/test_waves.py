"""Waveforms made readable: commands in words, the prepared view."""

import numpy as np
import pytest
from vcd import VCDWriter

from systolith_compiler.compiler import compile_graph
from systolith_report.wave_chart import Trace, wave_chart
from systolith_sim.gemm import gemm_graph
from systolith_sim.waves import annotate, command_text, prepare, read_signals, write_view
from systolith_spec.commands import Engine, decode
from systolith_spec.presets import preset


@pytest.fixture(scope="module")
def image():
    return compile_graph(gemm_graph(8, 8, 8, 1), preset("tiny-4x4"))


def program(image):
    return [command for command in image.commands(image.steps[0]) if decode(command)[0].engine is not None]


def write_dump(path, masks):
    """A dump in which `masks` come from trace_retire, one in each cycle of 10 ns."""
    with path.open("w") as file, VCDWriter(file, timescale="1 ns", init_timestamp=0) as writer:
        clk = writer.register_var("testbench", "clk", "wire", 1, init=0)
        retire = writer.register_var("testbench", "trace_retire", "wire", 4, init=0)
        writer.register_var("testbench", "m_axi_rresp", "wire", 2, init=0)
        writer.register_var("testbench.dut.compute.array.array.pe_0_0", "s4_sum", "wire", 16, init=0)
        temporary = writer.register_var("testbench", "$auto$verilog_backend.cc:2355:dump_module$6", "wire", 8, init=0)
        for cycle, mask in enumerate(masks):
            writer.change(temporary, 10 * cycle + 5, cycle)
            writer.change(clk, 10 * cycle + 5, 1)
            writer.change(retire, 10 * cycle + 5, mask)
            writer.change(clk, 10 * cycle + 10, 0)


def test_every_command_has_a_text(image):
    texts = [command_text(command) for command in program(image)]
    assert len(texts) == len(program(image))
    assert any(text.startswith("COMPUTE layer 0, ") and "tiles, weights 0x" in text for text in texts)
    assert any("to weight 0x" in text for text in texts) and any(text.startswith("STORE") and "from activation" in text
                                                                 for text in texts)
    assert any("waits for" in text for text in texts) and any("tells" in text for text in texts)


def test_texts_follow_the_retirements(tmp_path, image):
    loads = [command_text(command) for command in program(image) if decode(command)[0].engine == Engine.LOAD]
    bit = 1 << Engine.LOAD
    # The edge behind the one that sets a mask sees it: the first in cycle 2, the second, back to back, in cycle 3.
    write_dump(tmp_path / "w.vcd", [0, bit, bit, 0, 0])
    annotate(tmp_path / "w.vcd", image)
    changes = read_signals(tmp_path / "w.vcd", {"load": "decoded.load", "compute": "decoded.compute", "layer": "decoded.layer"})
    assert [(time, value.replace("_", " ")) for time, value in changes["load"]] == [
        (0, loads[0]), (25, loads[1]), (35, "-")]
    assert len(loads) == 2
    assert len(changes["compute"]) == 1 and changes["layer"][0][1].startswith("0_")


def test_names_that_yosys_made_up_are_left_out(tmp_path, image):
    """GTKWave does not open a dump with colons in names."""
    write_dump(tmp_path / "w.vcd", [0, 0, 0])
    before = (tmp_path / "w.vcd").read_text()
    annotate(tmp_path / "w.vcd", image)
    text = (tmp_path / "w.vcd").read_text()
    assert "$auto$" in before and "$auto$" not in text
    assert before.count("\nb10 ") == 1 and "\nb10 " not in text


def test_samples_repeat_the_program(tmp_path, image):
    stores = [command for command in program(image) if decode(command)[0].engine == Engine.STORE]
    masks = [1 << Engine.STORE] * (2 * len(stores)) + [0]
    write_dump(tmp_path / "w.vcd", masks)
    annotate(tmp_path / "w.vcd", image, samples=2)
    values = [value for _, value in read_signals(tmp_path / "w.vcd", {"store": "decoded.store"})["store"]]
    assert values[-1] == "-" and values[0] != "-"


def test_view_has_groups_and_texts(tmp_path, image):
    write_dump(tmp_path / "w.vcd", [0, 0])
    view = prepare(tmp_path / "w.vcd", image, 1)
    text = view.read_text()
    for title in ("program", "reads", "retired", "first column of the array"):
        assert f"-{title}\n" in text
    for name in ("decoded.load", "testbench.clk", "testbench.trace_retire[3:0]", "pe_0_0.s4_sum[15:0]"):
        assert name in text
    assert "2 SLVERR" in (tmp_path / "w.responses.txt").read_text()


def test_commands_for_surfer(tmp_path, image):
    """Commands and names of signals that the dump has; a divider is one word."""
    write_dump(tmp_path / "w.vcd", [0, 0])
    prepare(tmp_path / "w.vcd", image, 1)
    lines = (tmp_path / "w.sucl").read_text().splitlines()
    assert {line.split()[0] for line in lines} == {"divider_add", "variable_add", "zoom_fit"}
    assert lines[0] == "divider_add program" and "divider_add first_column_of_the_array" in lines and lines[-1] == "zoom_fit"
    names = [line.split(maxsplit=1)[1] for line in lines if line.startswith("variable_add")]
    assert {"decoded.load", "testbench.clk", "testbench.trace_retire"} < set(names) and len(set(names)) == len(names)
    assert read_signals(tmp_path / "w.vcd", {name: name for name in names}).keys() == set(names)


def test_other_formats_and_other_dumps(tmp_path, image):
    assert prepare(tmp_path / "w.fst", image, 1) is None
    (tmp_path / "w.vcd").write_text("$timescale 1 ns $end\n$var wire 1 ! a $end\n$enddefinitions $end\n#0\n0!\n")
    with pytest.raises(ValueError, match="must have signals clk and trace_retire"):
        annotate(tmp_path / "w.vcd", image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.vcd"]
    with pytest.raises(ValueError, match="must have the signal x"):
        read_signals(tmp_path / "w.vcd", {"a": "x"})


def test_view_of_an_empty_dump(tmp_path):
    (tmp_path / "w.vcd").write_text("$timescale 1 ns $end\n$enddefinitions $end\n")
    assert write_view(tmp_path / "w.vcd").is_file()
    assert np.size(read_signals(tmp_path / "w.vcd", {})) == 1


def test_wave_chart_draws_values():
    traces = [Trace("level", [(0, 0), (10, 1), (30, 0)]), None, Trace("bus", [(0, 0), (20, 255)], width=8, signed=True),
              Trace("text", [(0, "LOAD_layer_0")], width=8)]
    text = str(wave_chart(traces, 0, 40, period=10, title="t", marks=((10, "A"),)))
    assert ">-1<" in text and ">LOAD layer 0<" in text and ">A<" in text
    assert traces[0].pieces(5, 25) == [(5, 10, 0), (10, 25, 1)]
