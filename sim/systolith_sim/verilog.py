"""Verilog of Amaranth components, as the generator makes it."""

from systolith.verilog import port_names, to_verilog

__all__ = ["port_names", "to_verilog"]
