"""The mutation of RTL modules: what is changed, and that a bug in a module does not pass its tests."""

import ast
import json
import subprocess
import sys

import pytest

from systolith_sim.handmade_mutants import HANDMADE
from systolith_sim.judged_mutants import JUDGED
from systolith_sim.mutants import Result, bug_of, figures, suite_of
from systolith_sim.mutation import RTL, Mutant, modules, mutants, mutated, replaced


def test_every_module_has_a_bug_by_hand():
    for module in modules():
        text, tree = bug_of(module)
        assert text and ast.dump(tree) != ast.dump(ast.parse((RTL / f"{module}.py").read_text())), module


def test_bugs_by_hand_fit_their_modules():
    assert [module for module, (old, new) in HANDMADE.items() if bug_of(module)[0] != f"{old} -> {new}"] == []


def run(folder, *arguments):
    """Results of a run in a process of its own, which has not imported the RTL."""
    command = [sys.executable, "-m", "systolith_sim.mutants", "--folder", str(folder), "--json", str(folder / "all.json")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    return done, [entry for file in sorted(folder.glob("[!a]*.json")) for entry in json.loads(file.read_text())]


def test_bugs_by_hand_are_caught(tmp_path):
    modules = ["skid_buffer", "token_counters", "watchdog", "rotating_ram"]
    done, entries = run(tmp_path, "--count", "0", "--module", *modules)
    assert done.returncode == 0, done.stderr
    assert sorted(entry["name"] for entry in entries) == sorted(f"{module} by hand" for module in modules)
    assert {entry["outcome"] for entry in entries} == {"killed"}
    assert all(entry["by"].startswith("sim/test_") for entry in entries)
    # A second run finds the results of the first.
    done, _ = run(tmp_path, "--count", "0", "--module", *modules, "--minutes", "0")
    assert "4 of 4 mutants killed, 100.0 %" in done.stdout


def test_suites_of_modules_exist():
    for module in modules():
        for file in suite_of(module):
            assert (RTL.parents[1] / file.split("::")[0]).is_file(), module


def test_mutants_differ_from_the_module_and_compile():
    names = set()
    for module in modules():
        source = ast.dump(ast.parse((RTL / f"{module}.py").read_text()))
        for mutant in mutants(module, count=12):
            tree = mutated(mutant)
            assert ast.dump(tree) != source, mutant.name
            compile(tree, mutant.name, "exec")
            names.add(mutant.name)
    assert len(names) > 400
    assert {name.split()[-1] for name in names} == {"drop", "negate", "operator", "compare", "mux", "invert"}


def test_choice_is_reproducible():
    assert mutants("command_processor", count=5) == mutants("command_processor", count=5)
    assert mutants("command_processor", count=5) != mutants("command_processor", count=5, seed=2)
    with pytest.raises(ValueError, match="^Mutant must be one of watchdog, not 'watchdog:1:0 drop'$"):
        mutated(Mutant("watchdog", "drop", 1, 0, ""))
    with pytest.raises(ValueError, match="^Module watchdog must contain 'nowhere' once, not 0 times$"):
        replaced("watchdog", "nowhere", "")


def test_a_survivor_fails_the_run(tmp_path):
    """With a test that finds nothing, every mutant survives."""
    script = ("import sys; from systolith_sim import mutants as m; m.TESTS['watchdog'] = ('sim/test_block_fifo.py::"
              "test_items_pass_in_order[0-0.5-2-BlockFifo]',); sys.argv[1:] = ['--module', 'watchdog', '--count', '1', "
              f"'--folder', {str(tmp_path)!r}]; sys.exit(m.main())")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "0 of 2 mutants killed, 0.0 %" in done.stdout


def test_judgements_name_places_that_exist():
    for module, text in JUDGED:
        assert text in {mutant.text for mutant in mutants(module)}, (module, text)


def test_figures():
    results = {"a": [Result("a:1:2 drop", "x", "killed", "t", 1.0), Result("a:3:4 mux", "y", "survived", "", 1.0),
                     Result("a by hand", "z", "killed", "t", 1.0), Result("a:5:6 drop", "w", "invalid", "", 1.0)]}
    table = figures(results)
    assert table.summary.startswith("2 of 3 mutants killed, 66.7 %: a sample of 1 of ")
    assert "0 of the 1 survivors" in table.summary
    assert table.rows == [("a", 3, 2, 0, 1, "yes")]
    assert table.notes == ["`a:3:4 mux`: `y` - not judged yet"]
