"""Delay lines for values that accompany a free-running pipeline."""

from amaranth import *

__all__ = ["delay"]


def delay(m, value, cycles, *, name, reset_less=True):
    """Add a delay line to a module.

    Parameters
    ----------
    m : Module
        Module that gets the registers, in the domain ``sync``.
    value : Value
        What to delay.
    cycles : int
        Registers, at least 0.
    name : str
        Name of the registers; the number of cycles is appended.
    reset_less : bool
        False for flags that must be low after a reset.

    Returns
    -------
    Value
        ``value``, ``cycles`` clock cycles later, with the same shape.
    """
    value = Value.cast(value)
    for cycle in range(1, cycles + 1):
        delayed = Signal(value.shape(), name=f"{name}_{cycle}", reset_less=reset_less)
        m.d.sync += delayed.eq(value)
        value = delayed
    return value
