"""Lemmas over the integers that connect the steps of the requantizer to its specification; decided by Z3.

Each lemma is a formula without free constants of the hardware: it is about numbers of any size, within the
bounds it states. Its mutant is the same formula with one constant changed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import z3

from .engine import Outcome

__all__ = ["LEMMAS", "Lemma"]

_TWO_15, _TWO_16, _TWO_30, _TWO_31 = 1 << 15, 1 << 16, 1 << 30, 1 << 31


@dataclass(frozen=True, kw_only=True)
class Lemma:
    """A statement about integers.

    Attributes
    ----------
    name, claim, module : str
        As of a :class:`~systolith_formal.proof.Proof`.
    formulas : callable
        Given whether to plant a fault, yields formulas that must all be valid.
    """

    name: str
    claim: str
    module: str
    formulas: Callable
    method = "integers"
    slow = False

    def decide(self, broken=False):
        """Outcome of the lemma, or of its mutant."""
        begin = time.perf_counter()
        answers = []
        for formula in self.formulas(broken):
            solver = z3.Solver()
            solver.set(timeout=60_000)
            solver.add(z3.Not(formula))
            answers.append(solver.check())
        holds = True if all(a == z3.unsat for a in answers) else False if any(a == z3.sat for a in answers) else None
        return Outcome(holds=holds, frames=0, seconds=time.perf_counter() - begin)


def _floor(value, divisor):
    return value / divisor  # Z3 rounds the quotient of integers down for a positive divisor


def _truncate(value, divisor):
    return z3.If(value < 0, -_floor(-value, divisor), _floor(value, divisor))


def _schoolbook(broken):
    high, low, q_high, q_low = z3.Ints("high low q_high q_low")
    x, q = high * _TWO_16 + low, q_high * _TWO_16 + q_low
    middle = low * q_high + high * (q_low if not broken else q_high)
    yield high * q_high * _TWO_16 * _TWO_16 + middle * _TWO_16 + low * q_low == x * q


def _single_in_two_steps(broken):
    product = z3.Int("product")
    for right in range(1, 32):
        half = 1 << (right - (not broken))
        steps = _floor(_floor(product, _TWO_31) + half, 1 << right)
        yield steps == _floor(product + (1 << (30 + right)), 1 << (31 + right))


def _truncate_in_two_steps(broken):
    product = z3.Int("product")
    for right in range(32):
        first = _floor(product, _TWO_31) if broken else _truncate(product, _TWO_31)
        yield _truncate(first, 1 << right) == _truncate(product, 1 << (31 + right))


def _saturation_is_not_seen(broken):
    """A sum that overflows when shifted left: both the saturated and the exact product are clamped."""
    shifted, q = z3.Ints("shifted q")
    least = _TWO_30 if not broken else 1
    big, small = _TWO_31 - 1, -_TWO_31
    exact, got_big, got_small = (_floor(value * q + _TWO_30, _TWO_31) for value in (shifted, big, small))
    legal = z3.And(q >= least, q < _TWO_31)
    # 383 = 127 + 2 * 128: beyond it, zero point and clamp see only the sign.
    yield z3.Implies(z3.And(legal, shifted > big), z3.And(exact > 383, got_big > 383))
    yield z3.Implies(z3.And(legal, shifted < small), z3.And(exact < -384, got_small < -384))


def _shift_left_first(broken):
    total = z3.Int("product")
    for left in range(31):
        after = 30 - left if not broken else 31 - left
        yield _floor(total * (1 << left) + _TWO_30, _TWO_31) == _floor(total + (1 << after), 1 << (31 - left))


LEMMAS = [
    Lemma(name="schoolbook", module="requantizer_lane", formulas=_schoolbook,
          claim="the four partial products of step 2 make up the product"),
    Lemma(name="single_in_two_steps", module="requantizer_lane", formulas=_single_in_two_steps,
          claim="floor, then rounded right shift: one division rounded to nearest, ties up (rule SINGLE)"),
    Lemma(name="truncate_in_two_steps", module="requantizer_lane", formulas=_truncate_in_two_steps,
          claim="two divisions toward zero are one (rule TRUNCATE)"),
    Lemma(name="shift_left_first", module="requantizer_lane", formulas=_shift_left_first,
          claim="an exact left shift ahead of the product equals a smaller right shift behind it (rule SINGLE)"),
    Lemma(name="saturation_is_not_seen", module="requantizer_lane", formulas=_saturation_is_not_seen,
          claim="where the left shift saturates, the exact result would be clamped as well (multipliers from 2**30)"),
]
