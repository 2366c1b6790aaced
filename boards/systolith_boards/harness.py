"""Wrapper for out-of-context synthesis: any number of ports behind three pins."""

import re
from dataclasses import dataclass

from systolith_boards.tools import SynthesisError

__all__ = ["HARNESS", "Port", "read_ports", "out_of_context"]

HARNESS = "out_of_context"
"""Name of the wrapper's module; the design is its instance ``dut``."""

_XOR_INPUTS = 4  # one LUT4 between two registers, so that the wrapper never limits the clock


@dataclass(frozen=True)
class Port:
    """Port of a Verilog module: ``direction`` is ``"input"`` or ``"output"``, ``width`` in bits."""

    name: str
    direction: str
    width: int


_IDENTIFIER = r"(?:\\\S+\s|[A-Za-z_][\w$]*)"
_PORT = re.compile(
    rf"^\s*(input|output|inout)\s+(?:wire\s+|reg\s+|logic\s+)?(?:signed\s+)?"
    rf"(?:\[(\d+):(\d+)\]\s*)?({_IDENTIFIER})\s*;",
    re.MULTILINE,
)


def read_ports(verilog: str, top: str) -> list[Port]:
    """Return the ports of module ``top``, in the order of its port list.

    Reads the style that yosys writes: names in the header, one declaration with constant bounds per port in
    the body.

    Raises
    ------
    SynthesisError
        If there is no such module or a port of another style.
    """
    header = re.search(rf"^\s*module\s+\\?{re.escape(top)}\s*\(([^)]*)\)\s*;", verilog, re.MULTILINE)
    if header is None:
        raise SynthesisError(f"Verilog must have a module {top!r} with a list of port names")
    body = verilog[header.end() : verilog.find("endmodule", header.end())]
    ports = {}
    for direction, high, low, name in _PORT.findall(body):
        width = abs(int(high) - int(low)) + 1 if high else 1
        ports[name.strip()] = Port(name.strip(), direction, width)
    names = [name.strip() for name in header.group(1).split(",") if name.strip()]
    for name in names:
        if name not in ports:
            raise SynthesisError(f"Port {name!r} of module {top!r} must be declared on a line of its own")
        if ports[name].direction == "inout":
            raise SynthesisError(f"Port {name!r} of module {top!r} must be an input or an output")
    return [ports[name] for name in names]


def is_clock(port: Port) -> bool:
    """Tell whether the wrapper connects this port to a pin of its own."""
    named = port.name == "clk" or port.name.endswith("_clk")
    return named and port.direction == "input" and port.width == 1


def out_of_context(verilog: str, top: str) -> str:
    """Return Verilog of a wrapper around module ``top``.

    Inputs come from a shift register, outputs are registered and folded into one pin by a pipelined tree of
    XORs, so all paths of the design start and end in registers, as they do inside a larger system, and none
    is optimised away.

    Parameters
    ----------
    verilog : str
        The design.
    top : str
        Its top module; clock inputs are named ``clk`` or ``..._clk``.

    Returns
    -------
    str
        Module :data:`HARNESS` alone.
    """
    ports = read_ports(verilog, top)
    clocks = [port for port in ports if is_clock(port)]
    inputs = [port for port in ports if port.direction == "input" and not is_clock(port)]
    outputs = [port for port in ports if port.direction == "output"]
    if not clocks:
        raise SynthesisError(f"Module {top!r} must have a clock input named clk")
    clock = clocks[0].name
    connections = [f".{port.name} ({port.name})" for port in clocks]
    lines = []
    for bus, members in (("stimulus", inputs), ("response", outputs)):
        position = 0
        for port in members:
            connections.append(f".{port.name} ({bus}[{position + port.width - 1}:{position}])")
            position += port.width
        lines.append((bus, position))
    stimulus_width, response_width = lines[0][1], lines[1][1]
    if response_width == 0:
        raise SynthesisError(f"Module {top!r} must have an output")
    text = [
        f"module {HARNESS} ({', '.join(port.name for port in clocks)}, serial_in, serial_out);",
        *(f"  input {port.name};" for port in clocks),
        "  input serial_in;",
        "  output serial_out;",
        f"  reg [{max(stimulus_width, 1) - 1}:0] stimulus;",
        f"  wire [{response_width - 1}:0] response;",
        f"  always @(posedge {clock}) stimulus <= {{stimulus, serial_in}};",
        f"  {_escaped(top)} dut ({', '.join(connections)});",
        f"  reg [{response_width - 1}:0] level0;",
        f"  always @(posedge {clock}) level0 <= response;",
    ]
    level, width = 0, response_width
    while width > 1:
        next_width = -(-width // _XOR_INPUTS)
        text.append(f"  reg [{next_width - 1}:0] level{level + 1};")
        text.append(f"  always @(posedge {clock}) begin")
        for bit in range(next_width):
            low, high = bit * _XOR_INPUTS, min((bit + 1) * _XOR_INPUTS, width) - 1
            text.append(f"    level{level + 1}[{bit}] <= ^level{level}[{high}:{low}];")
        text.append("  end")
        level, width = level + 1, next_width
    text += [f"  assign serial_out = level{level}[0];", "endmodule", ""]
    return "\n".join(text)


def _escaped(name: str) -> str:
    """Return ``name`` as a Verilog identifier."""
    return name if re.fullmatch(r"[A-Za-z_][\w$]*", name) else f"\\{name} "
