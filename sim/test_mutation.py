"""The mutation of RTL modules: what is changed, and that a bug in a module does not pass its tests."""

import ast

import pytest

from systolith_sim.handmade_mutants import HANDMADE
from systolith_sim.judged_mutants import JUDGED
from systolith_sim.mutants import Result, figures, run_handmade, run_mutant, run_tests, tests_of
from systolith_sim.mutation import RTL, Mutant, MutantFinder, modules, mutants, mutated, replaced


def test_every_module_has_a_bug_by_hand():
    assert sorted(HANDMADE) == modules()
    for module, (old, new) in HANDMADE.items():
        replaced(module, old, new)


@pytest.mark.parametrize("module", ["skid_buffer", "token_counters", "watchdog", "rotating_ram"])
def test_bugs_by_hand_are_caught(module):
    result = run_handmade(module)
    assert result.outcome == "killed"
    assert result.by.startswith("sim/test_")


def test_tests_of_modules_exist():
    for module in modules():
        for file in tests_of(module):
            assert (RTL.parents[1] / file).is_file(), module


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


def test_a_killed_and_a_harmless_mutant():
    assert run_mutant(mutants("watchdog", count=1)[0]).outcome == "killed"
    harmless = MutantFinder("watchdog", replaced("watchdog", "m = Module()", "m = Module()  # nothing"))
    assert run_tests(harmless, tests_of("watchdog"))[0] == 0


def test_judgements_name_places_that_exist():
    for module, text in JUDGED:
        assert text in {mutant.text for mutant in mutants(module)}, (module, text)


def test_figures():
    results = {"a": [Result("a:1:2 drop", "x", "killed", "t", 1.0), Result("a:3:4 mux", "y", "survived", "", 1.0),
                     Result("a by hand", "z", "killed", "t", 1.0), Result("a:5:6 drop", "w", "invalid", "", 1.0)]}
    table = figures(results)
    assert table.summary.startswith("2 of 3 mutants killed, 66.7 %; 0 of the 1 survivors")
    assert table.rows == [("a", 3, 2, 0, 1, "yes")]
    assert table.notes == ["`a:3:4 mux`: `y` - not judged yet"]
