"""Functional cover points, and reading Verilator's coverage."""

import json
from dataclasses import replace

from systolith_compiler.compiler import compile_graph
from systolith_sim.cover_points import POINTS_FILE, all_points, points_of, record_points
from systolith_sim.random_networks import NetworkBuilder
from systolith_sim.rtl_coverage import figures, key_of, merge, read_points
from systolith_spec.presets import preset

TINY = preset("tiny-4x4")
ENTRY = ("C '\1f\2systolith.v\1l\0027\1n\0023\1t\2line\1page\2v_line/systolith__load\1o\2block\1h\2TOP.a' 5\n"
         "C '\1f\2systolith.v\1l\0029\1n\0023\1t\2branch\1page\2v_branch/systolith__load\1o\2if\1h\2TOP.a' 0\n"
         "C '\1f\2systolith.v\1l\0029\1n\0023\1t\2toggle\1page\2v_toggle/systolith\1o\2x[0]:0->1\1h\2TOP.a' 1\n"
         "C '\1f\2bench.v\1l\0029\1n\0023\1t\2line\1page\2v_line/testbench\1o\2if\1h\2TOP.a' 0\n")


def network():
    net = NetworkBuilder(1, (1, 5, 4, 3), "points")
    net.conv(5, kernel=(3, 3), stride=(2, 1), padding="SAME")
    net.max_pool(kernel=(2, 2), stride=(1, 1), padding="VALID")
    net.tanh()
    return net.graph()


def test_points_of_a_network():
    graph = network()
    found = points_of(graph, compile_graph(graph, TINY), stall=True)
    assert ("operator", "CONV_2D", "SAME", "stalls") in found
    assert ("geometry", "CONV_2D", "stride over 1", "rectangle") in found
    assert ("geometry", "MAX_POOL_2D", "stride 1", "rectangle") in found
    assert {("COMPUTE", "products", edge, "stalls") for edge in ("top", "bottom", "left", "right")} <= found
    assert ("VECTOR", "maximum", "partial group", "stalls") in found
    assert not any("no stalls" in point or "column mode" in point for point in found)
    assert found <= set(all_points())


def test_a_host_operator_is_no_point():
    graph = network()
    image = compile_graph(graph, replace(TINY, pooling=False, residual_add=False, softmax=False))
    assert not any("MAX_POOL_2D" in point for point in points_of(graph, image, stall=False) if point[0] == "operator")


def test_points_are_unique():
    assert len(set(all_points())) == len(all_points()) > 150


def test_record_and_report(tmp_path, monkeypatch):
    graph = network()
    image = compile_graph(graph, TINY)
    monkeypatch.delenv("SYSTOLITH_COVERAGE", raising=False)
    record_points(graph, image, stall=False)
    monkeypatch.setenv("SYSTOLITH_COVERAGE", str(tmp_path))
    record_points(graph, image, stall=False)
    key = key_of(TINY)
    (tmp_path / f"{key}_1.dat").write_text("# SystemC::Coverage-3\n" + ENTRY)
    (tmp_path / f"{key}_2.dat").write_text(ENTRY.replace("' 0", "' 2", 1))
    assert [kind for kind, *_ in read_points(ENTRY)] == ["line", "branch", "toggle", "line"]
    assert merge(tmp_path)[key]["line", "systolith__load", "7:3:block"] == 10
    result = figures(tmp_path)
    assert ("tiny-4x4: lines and branches", "2 of 2", "100.0 %") in result.rows
    assert result.details["lines"] == 100.0
    assert 10 < result.details["points"] < result.details["all_points"]
    assert len(json.loads((tmp_path / POINTS_FILE).read_text())) == result.details["points"]
