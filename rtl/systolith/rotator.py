"""Barrel rotation of the lanes of a word."""

from amaranth import *
from amaranth.utils import exact_log2

__all__ = ["rotate_lanes_down", "rotate_lanes_up"]


def rotate_lanes_down(value, amount, *, lanes):
    """Rotate towards lane 0: lane i of the result is lane ``(i + amount) % lanes`` of ``value``.

    Parameters
    ----------
    value : Value
        ``lanes`` lanes of equal width, lane 0 in the lowest bits.
    amount : Value
        Unsigned, ``log2(lanes)`` bits.
    lanes : int
        A power of two.
    """
    return _rotate(value, amount, lanes, direction=1)


def rotate_lanes_up(value, amount, *, lanes):
    """Rotate away from lane 0: lane ``(i + amount) % lanes`` of the result is lane i of ``value``."""
    return _rotate(value, amount, lanes, direction=-1)


def _rotate(value, amount, lanes, direction):
    width = len(value) // lanes
    # One two-way multiplexer a bit and a level; synthesis folds two levels into one wide LUT.
    for level in reversed(range(exact_log2(lanes))):
        value = Mux(amount[level], value.rotate_right(direction * width << level), value)
    return value
