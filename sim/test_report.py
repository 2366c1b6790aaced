"""`systolith report`: what is in the pages, and that a browser renders them."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith_cli.main import app
from systolith_compiler.compiler import compile_graph
from systolith_golden.cycles import predict
from systolith_report.records import Run, Synthesis
from systolith_report.run_charts import labels, timeline_chart
from systolith_report.svg import ticks
from systolith_report.synthesis_charts import area_chart, merged_path, seed_chart
from systolith_sim.convolution import convolution_graph
from systolith_sim.run_details import KINDS, TRAFFIC, run_details
from systolith_spec.presets import preset

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def synthesis(seed=1, clock=100.0):
    """What `synth --json` writes, in small."""
    rows = [("systolith", 100, 50, 4, 2), ("compute", 60, 30, 4, 1), ("compute.array", 40, 10, 4, 0), ("load", 30, 10, 0, 1)]
    segments = [("clk-to-q", 0.5, "load", "load.a [TRELLIS_FF].Q", None), ("routing", 1.0, "load", "load.b [LUT4].A", "load.a"),
                ("logic", 0.25, "compute", "compute.b [CCU2C].FCO", None),
                ("logic", 0.25, "compute", "compute.b [CCU2C].S0", None),
                ("setup", 0.0, "compute", "compute.c [TRELLIS_FF].DI", None)]
    return {
        "device": "LFE5U-85F-6CABGA381", "board": "ulx3s-85f", "config": "small-8x8", "seed": seed, "fmax_mhz": clock,
        "lut": 100, "ff": 50, "dsp": 4, "bram": 2, "mode": "out-of-context", "tools": {"yosys": "1"},
        "hierarchy": [dict(zip(("module", "lut", "ff", "dsp", "bram"), row, strict=True)) for row in rows],
        "critical_path": [dict(zip(("kind", "ns", "module", "cell", "net"), segment, strict=True)) for segment in segments],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report of two runs and two syntheses."""
    path = tmp_path_factory.mktemp("report")
    for config in ("small-8x8", "tiny-4x4"):
        result = invoke("conv", 8, 8, 8, 8, "--config", config, "--level", "machine", "--json", path / f"{config}.json")
        assert result.exit_code == 0, result.output
    for seed, clock in ((1, 100.0), (2, 104.5)):
        (path / f"seed{seed}.json").write_text(json.dumps(synthesis(seed, clock)))
    result = invoke("report", path / "small-8x8.json", path / "tiny-4x4.json", path / "seed1.json", path / "seed2.json",
                    "--out", path / "out")
    assert result.exit_code == 0, result.output
    return path


def test_details_agree_with_the_cycle_model():
    graph = convolution_graph(8, 8, 8, 8)
    image = compile_graph(graph, preset("small-8x8"))
    details = run_details(image)
    prediction = predict(image.config, image.commands(image.steps[0]), program_offset=image.steps[0].program,
                         program_limit=image.writable)
    assert details["cycles"] == prediction.total
    assert len(details["timeline"]["kind"]) == prediction.commands
    assert max(details["timeline"]["end"]) <= prediction.total
    assert all(begin <= end for begin, end in zip(details["timeline"]["begin"], details["timeline"]["end"], strict=True))
    traffic = {name: sum(layer[name] for layer in details["traffic"]) for name in TRAFFIC}
    assert traffic["results"] == prediction.bytes_written == 8 * 8 * 8
    # The fetcher reads END and a little ahead, the engines exactly what their commands say.
    assert 0 <= prediction.bytes_read - sum(traffic.values()) + traffic["results"] <= 1024
    computing = sum(end - begin for kind, begin, end in zip(*(details["timeline"][name] for name in ("kind", "begin", "end")),
                                                            strict=True) if KINDS[kind] == "compute")
    assert computing >= image.layers[0].macs / image.config.processing_elements


def test_memory_map_has_no_overlaps_and_covers_inputs():
    image = compile_graph(convolution_graph(8, 8, 8, 8), preset("tiny-4x4"))
    pieces = run_details(image)["memory_map"]
    assert {"input", "output", "weights", "commands"} <= {piece["kind"] for piece in pieces}
    for before, after in zip(pieces, pieces[1:], strict=False):
        assert before["offset"] + before["size"] <= after["offset"]
    assert pieces[-1]["offset"] + pieces[-1]["size"] <= image.memory.size


def test_buffer_areas_stay_inside_the_buffer():
    image = compile_graph(convolution_graph(8, 8, 8, 8), preset("small-8x8"))
    areas = run_details(image)["activation_buffer"]
    assert areas
    for area in areas:
        assert 0 <= area["start"] and area["start"] + area["size"] <= image.config.activation_bytes
        assert area["begin"] <= area["end"]


def test_html_is_one_file_with_all_sections(folder):
    text = (folder / "out" / "report.html").read_text()
    for title in ("Side by side", "Layers", "Where cycles go", "Memory", "Configuration", "Area by module", "Critical path",
                  "Clock over seeds"):
        assert f">{title}</h" in text, title
    assert not re.search(r"""(src|href)=["'](?!#)""", text), "nothing is loaded from elsewhere"
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text.count("<figure>") == text.count("</svg><figcaption>") == 22

    class Balanced(HTMLParser):
        open_tags = []

        def handle_starttag(self, tag, attributes):
            if tag != "meta":
                self.open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    Balanced().feed(text)
    assert not Balanced.open_tags


def test_markdown_twin_has_its_figures(folder):
    text = (folder / "out" / "report.md").read_text()
    names = re.findall(r"\]\((figures/\d\d\.svg)\)", text)
    assert len(names) == 22
    for name in names:
        ElementTree.parse(folder / "out" / name)
    columns = [line.count(" | ") for line in text.splitlines() if line.startswith("| array ")]
    assert columns == [2]


def test_comparison_states_factors(folder):
    runs = [json.loads((folder / f"{name}.json").read_text()) for name in ("small-8x8", "tiny-4x4")]
    factor = runs[1]["predicted_cycles"] / runs[0]["predicted_cycles"]
    assert f"{runs[1]['predicted_cycles']:,} ({factor:.2f}x)" in (folder / "out" / "report.md").read_text()


def test_old_files_give_a_shorter_report(folder, tmp_path):
    run = json.loads((folder / "small-8x8.json").read_text())
    for key in ("details", "configuration", "memory", "explanation"):
        del run[key]
    (tmp_path / "old.json").write_text(json.dumps(run))
    result = invoke("report", tmp_path / "old.json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Layers" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(("text", "message"), [
    (None, "Cannot read"), ("{", "is not JSON"), ("[1]", "must be what `systolith run`"), ('{"model": 1}', "must be what"),
])
def test_files_that_cannot_be_used(tmp_path, text, message):
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    result = invoke("report", tmp_path / "x.json", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr


def test_critical_path_joins_carry_chains():
    segments = merged_path(Synthesis("s", synthesis()))
    assert [(segment["kind"], segment["ns"]) for segment in segments] == [("clk-to-q", 0.5), ("routing", 1.0), ("logic", 0.5)]
    assert segments[1]["through"] == "load.a"


def test_area_chart_shows_every_module():
    text = str(area_chart(Synthesis("s", synthesis())))
    assert all(name in text for name in ("compute  60", "array  40", "load  30"))


def test_one_seed_is_no_chart():
    assert seed_chart([Synthesis("s", synthesis())]) is None
    assert "seed 2" in str(seed_chart([Synthesis("a", synthesis()), Synthesis("b", synthesis(2, 104.0))]))


def test_timeline_of_a_run_without_details_is_left_out():
    assert timeline_chart(Run("r", {"layers": []}, None)) is None


def test_ticks_are_round():
    assert ticks(10.0, 5)[-1] <= 10.0
    for limit in (1, 7, 64, 999, 12_345, 7.3):
        values = ticks(limit)
        assert 1 <= len(values) <= 7 and values[0] == 0 and values[-1] <= limit


@pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH")
def test_browser_renders_the_page(folder, tmp_path):
    """The page is drawn, and its script has set the zoom that the address asks for."""
    page = f"file://{folder}/out/report.html#cycles=100-300"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars", "--window-size=1100,4000"]
    dom = subprocess.run([BROWSER, *options, "--dump-dom", page], capture_output=True, text=True, timeout=120, check=True)
    assert 'viewBox="100 0 200 ' in dom.stdout
    subprocess.run([BROWSER, *options, f"--screenshot={tmp_path / 'page.png'}", page], capture_output=True, timeout=120,
                   check=True)
    image = pytest.importorskip("matplotlib.image").imread(tmp_path / "page.png")
    assert image.shape[:2] == (4000, 1100)
    colors = np.unique((image[:, :, :3] * 15).astype(int).reshape(-1, 3), axis=0)
    assert len(colors) > 50


def test_names_of_points_do_not_cover_each_other():
    """Like points share one name, and names that find no room are left out."""
    points = [(100.0, 50.0, "2"), (103.0, 51.0, "10"), (100.0, 64.0, "3"),
              *((300.0 + 10 * index, 50.0, "a long name") for index in range(20))]
    places = labels(points)
    texts = [text for *_, text in places]
    assert "2, 10" in texts and "3" in texts and 3 < len(texts) < 22
    for index, (x, y, text) in enumerate(places):
        for other_x, other_y, other in places[:index]:
            assert abs(y - other_y) >= 9 or x >= other_x + 5 * len(other) or other_x >= x + 5 * len(text)
