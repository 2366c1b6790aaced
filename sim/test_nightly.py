"""A small fixed part of `make nightly`: random networks with shared inputs and several outputs, on all levels."""

import json
import sys

import numpy as np
import pytest

from systolith_golden.interpreter import run_outputs
from systolith_sim import nightly
from systolith_sim.cocotb_run import ToolMissingError
from systolith_sim.nightly import CONFIGS, check_seed, compare, shrunk
from systolith_sim.random_networks import random_graph, random_inputs
from systolith_sim.tflite_writer import serialize_tflite
from systolith_sim.workers import workers

pytest.importorskip("tflite_micro", reason="the package tflite_micro, the independent reference, is not installed")


@pytest.mark.parametrize("seed", range(12))
def test_all_levels_agree(seed):
    verdict = check_seed(seed)
    assert verdict.error == ""


def test_graphs_are_worth_testing():
    graphs = [random_graph(seed) for seed in range(60)]
    assert sum(len(graph.inputs) > 1 for graph in graphs) > 10
    assert sum(len(graph.outputs) > 1 for graph in graphs) > 30
    shared = [max(len(graph.consumers(op.outputs[0])) for op in graph.operators) for graph in graphs]
    assert sum(count > 1 for count in shared) > 20
    kinds = {operator.kind for graph in graphs for operator in graph.operators}
    assert len(kinds) >= 20
    paddings = {operator.options.get("padding") for graph in graphs for operator in graph.operators}
    assert paddings >= {"SAME", "VALID"}


def test_graphs_are_reproducible_and_can_be_cut():
    assert serialize_tflite(random_graph(5)) == serialize_tflite(random_graph(5))
    assert serialize_tflite(random_graph(5, limit=99)) == serialize_tflite(random_graph(5))
    assert len(random_graph(5, limit=2).operators) < len(random_graph(5).operators)
    graph = random_graph(5, limit=2)
    assert all(np.isfinite(output).all() for output in run_outputs(graph, random_inputs(graph, 5)))


def test_a_failure_is_found_and_shrunk(monkeypatch):
    monkeypatch.setattr(nightly, "_NOT_COMPARED", {operator.kind for operator in random_graph(3).operators})
    real = nightly.run_outputs
    monkeypatch.setattr(nightly, "run_outputs", lambda graph, inputs: [~output for output in real(graph, inputs)])
    verdict = check_seed(3)
    assert verdict.error.startswith("AssertionError: machine level: output 0 differs in ")
    assert verdict.steps == shrunk(3, False) == 1
    with pytest.raises(AssertionError, match="machine level"):
        compare(random_graph(3), CONFIGS[0], 3)


def test_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(nightly, "_LOG", tmp_path / "log.jsonl")
    monkeypatch.setattr(sys, "argv", ["nightly", "--first", "2", "--count", "2", "--jobs", "1", "--rtl", "0",
                                      "--json", str(tmp_path / "figures.json")])
    assert nightly.main() == 0
    assert "2 random networks, seeds 2 to 3: 0 failures." in capsys.readouterr().out
    assert sorted(json.loads(line)["seed"] for line in (tmp_path / "log.jsonl").read_text().splitlines()) == [2, 3]
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert sum(row[1] for row in rows) == sum(row[4] for row in rows) == 2


def test_workers_of_a_cluster(monkeypatch, tmp_path):
    distributed = pytest.importorskip("dask.distributed", reason="Dask, the extra `cluster`, is not installed")
    monkeypatch.setattr(nightly, "_LOG", tmp_path / "log.jsonl")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster, \
            workers(1, cluster.scheduler_address) as pool:
        verdicts = nightly._check_all(iter([4]), 0, 2, pool, float("inf"))
    assert [(verdict.seed, verdict.error) for verdict in verdicts] == [(4, "")]


def test_a_cluster_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ToolMissingError, match=r"pip install systolith\[cluster\]"), workers(1, "tcp://nowhere:1"):
        pass
