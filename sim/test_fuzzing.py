"""A small fixed part of `make fuzz`, and inputs that it found."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from systolith_compiler.image import Image, ImageError
from systolith_sim.figures import Figures, block, publish
from systolith_sim.fuzz import Outcome, figures, fuzz_random, retry
from systolith_sim.fuzzing import TARGETS, FuzzError, ImageTarget, TfliteTarget, mutate_bytes, mutation, one_line, seal

_TFLITE, _IMAGE = TfliteTarget(10**9), ImageTarget()
_SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_random_inputs(name):
    outcome = fuzz_random(name, 300, share=1 if name == "image" else 8)
    assert outcome.failures == []
    assert outcome.outcomes["refused"] > 100
    assert outcome.outcomes["correct"] > (50 if name == "image" else 0)


@given(st.integers(0, 19), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4)), max_size=4))
@_SETTINGS
def test_patched_models(number, patches):
    _TFLITE(_patched(_TFLITE.corpus()[number], patches))


@given(st.integers(0, 7), st.lists(st.tuples(st.integers(20, 12_000), st.binary(max_size=4)), max_size=4))
@_SETTINGS
def test_patched_images(number, patches):
    _IMAGE(seal(_patched(_IMAGE.corpus()[number], patches)))


@given(st.binary(max_size=300))
@_SETTINGS
def test_anything(data):
    assert _TFLITE(b"\x10\0\0\0TFL3" + data) == "refused"
    assert _IMAGE(seal(b"SYSTOLTH\2\0\0\0" + data)) == "refused"


def _patched(data: bytes, patches: list[tuple[int, bytes]]) -> bytes:
    result = bytearray(data)
    for place, patch in patches:
        result[place % len(data):place % len(data) + len(patch)] = patch
    return bytes(result)


def test_every_bit_of_the_prefix_and_header_counts():
    data = _IMAGE.corpus()[0]
    for bit in range(8 * 300):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError):
            Image.parse(bytes(changed))


def test_mutations_are_reproducible_and_differ():
    corpus = _IMAGE.corpus()
    inputs = [mutation(_IMAGE, corpus, seed) for seed in range(30)]
    assert inputs == [mutation(_IMAGE, corpus, seed) for seed in range(30)]
    assert len(set(inputs)) > 25
    assert mutate_bytes(b"", np.random.default_rng(0)) is not None


def test_failures_are_found(monkeypatch):
    """The fuzzer itself: another exception, a wrong result and an empty message must not pass."""
    monkeypatch.setattr("systolith_sim.fuzzing.run_outputs", lambda graph, inputs: [np.zeros(1)] * len(graph.outputs))
    outcome = fuzz_random("tflite", 40, share=1)
    assert any("differs between machine and tensor level" in text for text in outcome.failures)
    monkeypatch.setattr("systolith_sim.fuzzing.Image.parse", lambda data: 1 // 0)
    outcome = fuzz_random("image", 40, most_failures=3)
    assert len(outcome.failures) == 3
    assert outcome.failures[0].startswith("image, seed 0: ZeroDivisionError")
    with pytest.raises(FuzzError):
        one_line(ValueError())


def test_failed_seeds_are_tried_again():
    outcome = Outcome("image", "random", {"refused": 3}, ["image, seed 4: KeyError: x", "image, see build/fuzz: y"], 2.0, 50)
    again = retry(outcome)
    assert again.failures == ["image, see build/fuzz: y"]
    assert again.inputs == outcome.inputs == 5


def test_figures(tmp_path):
    outcome = Outcome("image", "random", failures=["image, seed 7: x"])
    outcome.outcomes.update({"refused": 8, "correct": 1})
    result = figures([outcome])
    assert result.summary.startswith("10 inputs: 1 failures")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- fuzz: begin -->\nold\n<!-- fuzz: end -->\nbehind\n")
    publish(result, page=page, json_path=tmp_path / "fuzz.json")
    assert page.read_text() == f"before\n{block(result)}\nbehind\n"
    assert "| image | random | 10 | 8 | 0 | 1 | 1 | 0.0 s | 0 MiB |" in page.read_text()
    assert '"seed 7' not in page.read_text()
    assert "image, seed 7: x" in (tmp_path / "fuzz.json").read_text()
    with pytest.raises(ValueError, match="must have one block marked 'other', not 0"):
        publish(Figures(name="other", summary="", header=(), rows=[]), page=page)
