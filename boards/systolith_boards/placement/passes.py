"""The runs of nextpnr-ecp5 that place a design, and what is done between them."""

import json
from pathlib import Path

from systolith_boards.placement.block_placement import BLOCK_TYPES, place_blocks
from systolith_boards.placement.job import PlacementJob
from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.refinement import refine

__all__ = ["PlacementPasses"]

_BLOCK_PASSES = 1
_BEGINS, _PLACED, _REFINED = 0.3, 0.56, 0.58  # fractions of the progress, between synthesis and routing


class PlacementPasses:
    """Place, find better places for the blocks, place the logic around them, shorten slow paths, route.

    Parameters
    ----------
    job : PlacementJob
    common : list of str
        Arguments of each run.
    """

    def __init__(self, job: PlacementJob, common: list[str]):
        self._job = job
        self._common = common
        self._placed, self._sdf, self._hinted = (f"{name}_{job.seed}" for name in ("placed.json", "placed.sdf", "hinted.json"))

    def run(self, results: list[str]) -> None:
        """Run all passes; ``results`` are the arguments of the last run, which routes."""
        job, netlist = self._job, self._job.netlist
        passes = 1 + (_BLOCK_PASSES if BLOCK_TYPES & set(job.cells) else 0)
        for number in range(1, passes + 1):
            # With timing the first time too: without it wires got longer on large designs, and that was not made good for.
            job.run([*self._common, "--json", netlist, "--placer", "static", "--no-route", "--write", self._placed,
                     "--sdf", self._sdf], self._part(number, passes))
            if number < passes:
                job.progress("placement: blocks", _BEGINS + (_PLACED - _BEGINS) * number / passes)
                netlist = self._hint_blocks()
        self._refine()
        job.run([*self._common, "--json", self._placed, "--no-pack", "--no-place", *results], self._routing)

    def _part(self, number, passes):
        """Progress of one of the placements."""
        def tell(message, fraction):
            done = min((fraction - _BEGINS) / (_PLACED - _BEGINS), 1)
            self._job.progress(message.replace("placement:", f"placement {number} of {passes}:"),
                               _BEGINS + (_PLACED - _BEGINS) * (number - 1 + done) / passes)

        return tell

    def _routing(self, message, fraction):
        self._job.progress(message.replace("placement: packing", "routing: reading the places"), fraction)

    def _path(self, name) -> Path:
        return self._job.folder / name

    def _hint_blocks(self):
        """Write the netlist with places for its blocks; return the file's name."""
        job = self._job
        places = place_blocks(PackedDesign(self._path(self._placed)), job.board.device, job.seed)
        document = json.loads(self._path(job.netlist).read_text())
        for module in document["modules"].values():
            for name, cell in module["cells"].items():
                if cell["type"] in BLOCK_TYPES and name in places:
                    cell["attributes"]["BEL"] = places[name]
        self._path(self._hinted).write_text(json.dumps(document))
        return self._hinted

    def _refine(self):
        job = self._job

        def tell(done):
            job.progress(f"placement: slow paths {100 * done:.0f} %", _PLACED + (_REFINED - _PLACED) * done)

        design = PackedDesign(self._path(self._placed))
        refine(design, self._path(self._sdf), job.seed, tell)
        design.write(self._path(self._placed))
