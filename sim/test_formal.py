"""Formal proofs: each holds and refutes its mutant; the engines tell right from wrong."""

import json

import pytest
from amaranth import *

from systolith_formal.__main__ import main
from systolith_formal.bench import Bench
from systolith_formal.engine import decide
from systolith_formal.mutation import Mutant, mutated
from systolith_formal.proof import Proof
from systolith_formal.proofs import PROOFS


@pytest.mark.parametrize("proof", [pytest.param(proof, id=proof.name, marks=[pytest.mark.slow] if proof.slow else [])
                                   for proof in PROOFS])
def test_proofs_hold_and_refute_their_mutants(proof):
    assert proof.decide().holds is True
    assert proof.decide(broken=True).holds is False


def _counter(bench, most):
    """Counter of four bits that stops at 9."""
    count = Signal(4)
    with bench.m.If(bench.free(1, "up") & (count < 9)):
        bench.m.d.sync += count.eq(count + 1)
    bench.check(count <= most)


@pytest.mark.parametrize("options", [{}, {"bound": 11}, {"bound": 11, "unroll": True}])
def test_engines(options):
    assert decide(Bench(lambda bench: _counter(bench, 9)), **options).holds is True
    refuted = decide(Bench(lambda bench: _counter(bench, 8)), **options)
    assert (refuted.holds, refuted.frames) == (False, 9 if not options.get("unroll") else 10)


def test_a_bound_is_a_bound():
    outcome = decide(Bench(lambda bench: _counter(bench, 8)), bound=9)
    assert (outcome.holds, outcome.frames) == (True, 8)


def test_assumptions_and_constants_count():
    def build(bench):
        constant, value = bench.constant(4, "constant"), bench.free(4, "value")
        bench.assume(value == constant)
        bench.check(bench.past(value, "value") == Mux(bench.past(1, "begun"), constant, 0))

    assert decide(Bench(build)).holds is True


def test_a_reset_may_come_at_any_time():
    def build(bench):
        bench.check(~bench.at(2) | bench.past(1, "begun"))

    assert decide(Bench(build, reset=False)).holds is True
    assert decide(Bench(build)).holds is False


def test_a_bench_must_check_something():
    with pytest.raises(ValueError, match="^Proof bench must be one that checks something$"):
        decide(Bench(lambda bench: None))


def test_mutants_are_gone_afterwards():
    from systolith import skid_buffer, vector_pipeline
    original = skid_buffer.SkidBuffer
    user = vars(vector_pipeline).get("SkidBuffer")
    with mutated(Mutant(module="skid_buffer", text="full = Signal()", replacement="full = Signal(init=1)")):
        assert skid_buffer.SkidBuffer is not original
    assert skid_buffer.SkidBuffer is original and vars(vector_pipeline).get("SkidBuffer") is user


def test_text_of_a_mutant_must_be_there():
    with pytest.raises(ValueError, match="must occur once in skid_buffer, not 0 times: 'nothing'"):
        with mutated(Mutant(module="skid_buffer", text="nothing", replacement="")):
            pass


def test_all_mutants_have_their_text():
    """Those of slow proofs too, which few runs decide; lemmas have no text of a module."""
    proofs = [proof for proof in PROOFS if isinstance(proof, Proof)]
    assert len(proofs) > 20
    for proof in proofs:
        proof.mutant.source()


def test_command_line(tmp_path, capsys):
    assert main(["skid_buffer", "--json", str(tmp_path / "proofs.json")]) == 0
    assert "1 of 1 proofs hold and refute their mutants" in capsys.readouterr().out
    entry, = json.loads((tmp_path / "proofs.json").read_text())["details"]["proofs"]
    assert (entry["name"], entry["result"], entry["mutant"]) == ("skid_buffer", "holds", "refuted")


def test_names_of_proofs_are_unique():
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)
