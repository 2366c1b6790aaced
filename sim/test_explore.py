"""`systolith explore`: the models behind it, the search, and what it shows."""

import json
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

import generate_exploration
from systolith_boards.boards import BOARDS
from systolith_boards.synthesis import SynthesisError
from systolith_cli.configuration import find_config
from systolith_cli.main import app
from systolith_compiler.compiler import compile_graph
from systolith_compiler.tflite_reader import read_tflite
from systolith_explore import clock_measure
from systolith_explore import confirm as confirmation
from systolith_explore import search as search_module
from systolith_explore.area_measure import PARTS, design_points, load_data
from systolith_explore.area_model import RESOURCES, AreaModel, area_model, terms
from systolith_explore.clock_model import ClockModel
from systolith_explore.evaluation import evaluate, needed_units
from systolith_explore.model_errors import PAGE, area_errors, clock_errors, part_errors
from systolith_explore.presentation import predicted_only
from systolith_explore.search import Candidate, Exploration, estimate, explore
from systolith_explore.space import CHOICES, build_config, choice_of, neighbours
from systolith_explore.synthesis_time import SynthesisTime
from systolith_sim.figures import block
from systolith_sim.inference import infer
from systolith_sim.prediction import predict_image
from systolith_spec.presets import PRESETS, preset

DEMO = Path(__file__).parents[1] / "scripts" / "demo" / "lenet5.tflite"
BOARD = BOARDS["ulx3s-85f"]


class Here(Executor):
    """Runs everything at once, in this process."""

    def submit(self, function, *arguments, **options):
        future = Future()
        future.set_result(function(*arguments, **options))
        return future


@pytest.fixture(autouse=True)
def small(tmp_path_factory, monkeypatch):
    """A cache of the tests' own, and short searches."""
    make_small(tmp_path_factory, monkeypatch)


def make_small(tmp_path_factory, patch):
    patch.setenv("SYSTOLITH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    patch.setattr(search_module, "_FINALISTS", 2)
    patch.setattr(search_module, "_MOST_CLIMBS", 1)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A small search."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(tmp_path_factory, patch)
        return explore([DEMO], BOARD, Here(), budget=16)


def test_quick_programs_are_the_usual_plans():
    image = compile_graph(read_tflite(DEMO), preset("small-8x8"), search=False)
    quick, full = (evaluate(preset("small-8x8"), (str(DEMO),), search)[0].cycles for search in (False, True))
    assert quick == sum(run.total for run in predict_image(image))
    assert full <= quick < 1.3 * full


def test_evaluation_is_kept_and_depends_on_the_configuration(monkeypatch):
    first = evaluate(preset("small-8x8"), (str(DEMO),))
    monkeypatch.setattr("systolith_explore.evaluation.compile_graph", None)  # no second compilation
    same = replace(preset("small-8x8"), name="another", multiplier_style="ecp5")
    assert evaluate(same, (str(DEMO),)) == first, "names and multipliers do not matter to cycles"
    with pytest.raises(TypeError):
        evaluate(replace(preset("small-8x8"), outstanding_reads=3), (str(DEMO),))


def test_units_that_a_network_needs():
    units = needed_units((str(DEMO),))  # LeNet-5 pools; it adds nothing and ends without softmax
    assert units == {"residual_add": False, "pooling": True, "softmax": False}


def test_choices_describe_presets_and_neighbours():
    for config in PRESETS.values():
        choice = choice_of(config)
        assert set(choice) == set(CHOICES)
        for name, here, there, other in neighbours(config):
            assert choice[name] == here and (name == "lane_share" or choice_of(other)[name] == there)
    built = build_config("x", choice_of(preset("small-8x8")))
    assert replace(built, name="small-8x8") == preset("small-8x8")


def test_area_model_knows_every_part():
    for config in PRESETS.values():
        assert set(terms(config)) == set(PARTS)
    prediction = area_model().predict(preset("small-8x8"))
    for resource in RESOURCES:
        total = sum(part[resource] for part in prediction.parts.values())
        assert getattr(prediction, resource) == round(total) > 0


def test_area_model_predicts_designs_that_it_does_not_know():
    """Within 10 % for whole accelerators that no weight or factor was fitted to."""
    designs = [record for record in load_data()["designs"] if record["config"]["name"] not in PRESETS]
    for record in designs:
        prediction = area_model().predict(replace(preset("small-8x8"), **record["config"]))
        for resource in RESOURCES:
            measured = record["total"][resource]
            assert abs(getattr(prediction, resource) - measured) <= max(2, 0.1 * measured), (record["config"]["name"], resource)


def test_error_tables_are_current():
    page = PAGE.read_text()
    for figures in (area_errors(area_model(), load_data()), part_errors(load_data()), clock_errors()):
        assert block(figures) in page, "make model-errors"


def test_area_model_without_data_says_so():
    with pytest.raises(ValueError, match="make area-data"):
        AreaModel({"parts": {}, "designs": []})


def test_design_points_are_configurations_of_known_parts():
    points = list(design_points())
    assert {part for part, _ in points} == {*PARTS, ""}
    assert len({(part, config.name) for part, config in points}) == len(points)


def test_clock_falls_with_size():
    records = [{"name": "a", "lut": 4000, "fmax_mhz": 120.0}, {"name": "b", "lut": 16000, "fmax_mhz": 100.0},
               {"name": "c", "lut": 8000, "fmax_mhz": 112.0}]
    model = ClockModel(records)
    assert model.predict(4000) == pytest.approx(120.0, rel=0.02) and model.predict(16000) == pytest.approx(100.0, rel=0.02)
    assert 0 < model.error < 0.1 and model.noise == 0
    assert ClockModel(records[:1]).predict(50_000) == pytest.approx(120.0)
    assert ClockModel([*records, {"name": "b", "lut": 16000, "fmax_mhz": 110.0}]).noise == pytest.approx(0.0909, abs=1e-3)


def test_time_of_synthesis_follows_a_power_of_the_size():
    law = SynthesisTime([{"lut": 10_000, "cpu_seconds": 300}, {"lut": 20_000, "cpu_seconds": 1200}, {"lut": 50_000}])
    assert law.exponent == pytest.approx(2.0) and law.minutes(40_000) == pytest.approx(80.0)
    assert law.most_luts(80) == pytest.approx(40_000, abs=1)
    with pytest.raises(ValueError, match="make clock-data"):
        SynthesisTime([{"lut": 10_000, "cpu_seconds": 300}])


def test_routed_designs_become_clock_data(monkeypatch, tmp_path):
    class Report:
        lut, fmax_mhz, usage = 1000, 99.5, {"yosys": {"cpu_seconds": 10.2}, "nextpnr": {"cpu_seconds": 100.1}}

    monkeypatch.setattr(clock_measure, "synthesise_config", lambda *arguments, quick: Report)
    assert clock_measure.clock_record(preset("tiny-4x4"), 3, tmp_path) == {
        "name": "tiny-4x4", "seed": 3, "lut": 1000, "fmax_mhz": 99.5, "cpu_seconds": 110}


def test_winner_is_at_least_as_good_as_every_preset(found):
    assert found.winner is not None
    usable = [entry for entry in found.presets if entry.fps]
    assert usable and all(found.winner.fps >= entry.fps for entry in usable)
    for candidate in found.finalists:
        assert not candidate.misfit and candidate.area["dsp"] <= BOARD.capacity["dsp"]
        assert candidate.networks[0].cycles == evaluate(candidate.config, (str(DEMO),), True)[0].cycles


def test_pareto_front_is_not_beaten(found):
    front = found.pareto
    assert front
    for entry in front:
        assert not any(other.fps >= entry.fps and other.area["lut"] < entry.area["lut"] for other in found.candidates)


def test_what_does_not_fit_is_not_compiled():
    result = explore([DEMO], BOARDS["orangecrab-25f"], Here(), budget=4)
    large = next(entry for entry in result.presets if entry.config.name == "base-16x16")
    assert "needs" in large.misfit and not large.networks and large.fps == 0.0


def test_area_objective_keeps_the_speed():
    result = explore([DEMO], BOARD, Here(), objective="area", budget=12)
    own = next(entry for entry in result.presets if entry.config.name == BOARD.preset)
    assert result.winner.area["lut"] <= own.area["lut"] and result.winner.fps >= result.least_fps > 0


def test_dsp_budget_limits_the_array():
    result = explore([DEMO], BOARD, Here(), budget=8, dsp_budget=40)
    assert result.winner.area["dsp"] <= 40


def test_multipliers_that_dsp_blocks_lack_are_in_luts():
    config = preset("small-8x8")
    whole = estimate(config, BOARD, None, "search")
    part = estimate(config, BOARD, 100, "search")
    assert whole.config == config and whole.area["dsp"] == 113
    assert part.config.dsp_budget == 51 and part.area["dsp"] == 100 and part.area["lut"] > whole.area["lut"]
    assert "DSP" in estimate(config, BOARD, 40, "search").misfit, "the vector unit alone needs more"


def test_finalists_that_can_be_confirmed_in_time():
    result = explore([DEMO], BOARD, Here(), budget=16, most_lut=16_000)
    assert any(entry.area["lut"] <= 16_000 for entry in result.finalists)
    assert result.winner is result.predicted and not result.ahead


def test_a_search_goes_on_from_its_journal(tmp_path):
    journal = tmp_path / "study.journal"
    first = explore([DEMO], BOARD, Here(), budget=8, journal=journal)
    lines = len(journal.read_text().splitlines())
    second = explore([DEMO], BOARD, Here(), budget=8, journal=journal)
    assert [entry.config.name for entry in second.candidates] == [entry.config.name for entry in first.candidates]
    assert len(journal.read_text().splitlines()) <= lines + 1, "nothing was tried again"


def test_nothing_fits(tmp_path, monkeypatch):
    capacity = {"lut": 100, "ff": 100, "dsp": 1, "bram": 1}
    monkeypatch.setattr(type(BOARD), "capacity", property(lambda board: capacity))
    result = invoke("explore", DEMO, "--budget", 4, "--no-confirm", "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "Nothing fits ulx3s-85f" in result.stderr and "may use 90" in result.stderr
    assert "serial" not in result.stderr


def test_nothing_fits_where_control_is_serial(tmp_path):
    result = invoke("explore", DEMO, "--board", "icebreaker", "--budget", 2, "--no-confirm", "--jobs", 1, "--out", tmp_path)
    message = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2
    assert "serial control are not searched: the board's preset, icebreaker, is one" in message
    assert "serial control are not searched" in (tmp_path / "report.md").read_text()


def fake_confirmation(fps_by_name, exact=True):
    def confirm(candidate, board, models, folder, progress):
        fps = fps_by_name[candidate.config.name]
        return {"misfit": "too large"} if fps is None else {
            "area": candidate.area, "clock_mhz": 100.0, "fps": fps, "latency_ms": 1000 / fps,
            "networks": [{"model": "n", "cycles": 1, "bit_exact": exact}]}
    return confirm


def exploration_of(*members, objective="fps", least_fps=0.0):
    """An exploration whose finalists are (name, LUTs, fps, origin), best first."""
    finalists = [Candidate(replace(preset("small-8x8"), name=name), {"lut": lut, "ff": 1, "dsp": 1, "bram": 1}, fps / 1e6,
                           [search_module.NetworkCycles("n", 1)], origin) for name, lut, fps, origin in members]
    presets = [entry for entry in finalists if entry.origin == "preset"]
    return Exploration(BOARD, objective, finalists[0], finalists, presets, finalists, least_fps, finalists[0])


@pytest.mark.parametrize(("measured", "winner"), [
    ({"preset": 90.0, "a": 120.0, "b": 110.0}, "a"),
    ({"preset": 90.0, "a": None, "b": 110.0}, "b"),   # the first does not fit after all
    ({"preset": 90.0, "a": 80.0, "b": 85.0}, "preset"),  # predictions were too good
    ({"preset": None, "a": None, "b": None}, None),
])
def test_only_confirmed_configurations_win(monkeypatch, tmp_path, measured, winner):
    exploration = exploration_of(("a", 1, 130.0, "search"), ("b", 1, 125.0, "search"), ("preset", 1, 100.0, "preset"))
    monkeypatch.setattr(confirmation, "confirm", fake_confirmation(measured))
    results = confirmation.confirm_best(exploration, [DEMO], tmp_path, lambda what: None, jobs=2)
    assert "preset" in results
    assert (exploration.winner and exploration.winner.config.name) == winner


def test_what_takes_too_long_to_confirm_is_predicted_only(monkeypatch, tmp_path):
    exploration = exploration_of(("huge", 80_000, 200.0, "search"), ("a", 1, 130.0, "search"), ("preset", 1, 100.0, "preset"))
    monkeypatch.setattr(confirmation, "confirm", fake_confirmation({"a": 120.0, "preset": 90.0}))
    results = confirmation.confirm_best(exploration, [DEMO], tmp_path, lambda what: None, minutes=25)
    assert exploration.winner.config.name == "a" and exploration.predicted.config.name == "huge"
    (text,) = predicted_only(exploration, results)
    assert text.startswith("Predicted only: huge, 8 x 8") and "80,000 LUT4" in text and "minutes to place and route" in text


@pytest.mark.parametrize(("fps", "winner"), [(96.0, "a"), (90.0, "preset")])
def test_the_smallest_keeps_the_speed_that_was_measured(monkeypatch, tmp_path, fps, winner):
    exploration = exploration_of(("a", 1, 105.0, "search"), ("preset", 2, 100.0, "preset"), objective="area", least_fps=100.0)
    monkeypatch.setattr(confirmation, "confirm", fake_confirmation({"a": fps, "preset": 95.0}))
    confirmation.confirm_best(exploration, [DEMO], tmp_path, lambda what: None)
    assert exploration.winner.config.name == winner


def test_confirmation_measures_area_clock_and_cycles(monkeypatch, tmp_path, found):
    class Report:
        lut, ff, dsp, bram, fmax_mhz = 1000, 900, 8, 7, 50.0
        usage = {"nextpnr": {"cpu_seconds": 90}}

    def synthesise(config, board, folder, seed, progress, *, quick):
        progress("routing", 0.5)
        assert quick and folder == tmp_path / config.name and board == BOARD.name
        return Report

    def run(graph, config, samples, *, model):
        assert model == DEMO and len(samples) == 1
        return replace(infer(graph, config, samples, level="tensor", model=model), cycles=25_000)

    said = []
    monkeypatch.setattr(confirmation, "synthesise_config", synthesise)
    monkeypatch.setattr(confirmation, "infer", run)
    result = confirmation.confirm(found.winner, BOARD, [DEMO], tmp_path, said.append)
    assert result["area"] == {"lut": 1000, "ff": 900, "dsp": 8, "bram": 7} and result["clock_mhz"] == 50.0
    assert result["cpu_minutes"] == 1.5
    assert result["networks"] == [{"model": "lenet5", "cycles": 25_000, "bit_exact": True}]
    assert result["fps"] == pytest.approx(2000.0) and result["latency_ms"] == pytest.approx(0.5)
    assert any("routing (50%)" in text for text in said) and any("on the RTL" in text for text in said)

    def refuse(*arguments, quick):
        raise SynthesisError("does not fit")

    monkeypatch.setattr(confirmation, "synthesise_config", refuse)
    assert confirmation.confirm(found.winner, BOARD, [DEMO], tmp_path, said.append) == {"misfit": "does not fit"}


def test_wrong_results_never_win(monkeypatch, tmp_path, found):
    exploration = replace(found)
    names = {entry.config.name: 1e9 for entry in found.finalists}
    monkeypatch.setattr(confirmation, "confirm", fake_confirmation(names, exact=False))
    confirmation.confirm_best(exploration, [DEMO], tmp_path, lambda what: None)
    assert exploration.winner is None


def test_command_writes_pages_json_and_configuration(tmp_path):
    result = invoke("explore", DEMO, "--budget", 8, "--no-confirm", "--jobs", 1, "--out", tmp_path,
                    "--json", tmp_path / "e.json")
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["winner"]["name"] == find_config(str(tmp_path / "winner.json")).name
    assert values["judged"] >= 8 and values["pareto"] and values["operator_mix"] and values["steps"]
    assert abs(sum(row["cycles"] for row in values["operator_mix"]) - 1) < 1e-6
    page = (tmp_path / "report.html").read_text()
    assert all(text in page for text in ("Why this one", "Presets", "Best configurations", "chosen"))


@pytest.mark.parametrize(("arguments", "text"), [
    (("--objective", "beauty"), "Objective must be one of fps, latency, area"),
    (("--board", "none"), "Board must be one of"),
])
def test_bad_options(tmp_path, arguments, text):
    result = invoke("explore", DEMO, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2 and text in result.stderr
    assert not (tmp_path / "out").exists()


def found_json(board, winner=None, confirmed=(), predicted=None):
    """What `systolith explore --json` would write."""
    def entry(name, fps, misfit=""):
        return {"name": name, "configuration": preset("small-8x8").as_dict(), "area": {"lut": 24_000}, "clock_mhz": 117.0,
                "fps": fps, "misfit": misfit}
    own = BOARDS[board].preset
    return {"board": board, "presets": [entry(own, 1000.0 if winner else 0.0, "" if winner else "needs 9 LUT, may use 5")],
            "winner": entry("w", 1500.0) if winner else None, "predicted": entry(predicted or "w", 2000.0),
            "least": entry("l", 0.0, "needs 8 LUT, may use 5"), "least_parts": {"vector": 3000, "arbiter": 80, "none": 0},
            "confirmed": {name: {"area": {"lut": 25_000}, "clock_mhz": 110.0, "fps": fps} for name, fps in confirmed}}


def test_table_of_boards():
    own = BOARD.preset
    cells = generate_exploration.row(found_json("ulx3s-85f", True, [("w", 1400.0), (own, 1000.0)]))
    assert cells[2:] == ["25,000 (30%)", "117 / 110", "1,500 / 1,400", f"{own}: 1,000 / 1,000", "1.50 / 1.40"]
    predicted = generate_exploration.row(found_json("ulx3s-85f", True))
    assert predicted[2:] == ["24,000 (29%)", "117", "1,500", f"{own}: 1,000", "1.50"]
    nothing = found_json("icebreaker")
    assert "nothing fits: l: needs 8 LUT" in generate_exploration.row(nothing)[1]
    assert generate_exploration.notes(nothing) == [
        "1BitSquared iCEBreaker: LUT4s of the smallest by part: vector 3,000, arbiter 80."]
    (note,) = generate_exploration.notes(found_json("ulx3s-85f", True, [("w", 1400.0)], "huge"))
    assert "predicted only" in note and "huge" in note
    assert not generate_exploration.notes(found_json("ulx3s-85f", True, [("w", 1400.0)]))
    other = found_json("ulx3s-85f", True)
    other["presets"].append({**other["presets"][0], "name": "tiny-4x4", "fps": 500.0})
    other["presets"][0] |= {"fps": 0.0, "misfit": "leaves 1 more of kws to the host"}
    assert generate_exploration.row(other)[-2:] == ["tiny-4x4: 500", "3.00"]
    assert generate_exploration.notes(other) == [f"Radiona ULX3S 85F: its own preset, {own}, leaves 1 more of kws to the host."]
