"""Verilog without initial values of registers, to see in a four-state simulator what only reset makes known."""

import re

__all__ = ["without_initial_values"]

# Amaranth gives every register an initial value; yosys adds registers that trigger combinational blocks, which stay.
_REGISTER = re.compile(r"^(\s*reg\s+(?:\[[^\]]*\]\s*)?(?!\\\$auto)\S+\s*)=[^;]*;", re.MULTILINE)


def without_initial_values(verilog: str) -> str:
    """Verilog in which registers begin as X; memories, which no reset clears, keep their contents.

    Raises
    ------
    ValueError
        There is no register with an initial value.
    """
    text, count = _REGISTER.subn(r"\1;", verilog)
    if not count:
        raise ValueError("Verilog must have registers with initial values")
    return text
