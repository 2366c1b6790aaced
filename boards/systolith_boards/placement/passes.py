"""The runs of nextpnr-ecp5 that place and route a design, and what is done between them."""

from pathlib import Path

from systolith_boards.placement.job import PlacementJob
from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.refinement import is_crowded, refine
from systolith_boards.placement.routed_timing import correct_report
from systolith_boards.placement.routing_order import route_critical, settle

__all__ = ["PlacementPasses"]

# Fractions of the progress: nextpnr tells the first, as of a run that also routes; what follows comes before its routing.
_BEGINS, _PLACED = 0.3, 0.56
_ANNEALING, _SETTLING, _CRITICAL, _ROUTING = 0.42, 0.52, 0.56, 0.58


class PlacementPasses:
    """Place, find better places, route, correct the report.

    Parameters
    ----------
    job : PlacementJob
    common : list of str
        Arguments of each run.
    """

    def __init__(self, job: PlacementJob, common: list[str]):
        self._job = job
        self._common = common
        self._placed, self._sdf, self._part, self._routes, self._routed_sdf = (
            f"{name}_{job.seed}" for name in ("placed.json", "placed.sdf", "part.json", "routes.json", "routed.sdf"))

    def run(self, results: list[str]) -> None:
        """Run all passes; ``results`` are the arguments of the last run, which routes."""
        job = self._job
        job.run([*self._common, "--json", job.netlist, "--placer", "static", "--no-route", "--write", self._placed,
                 "--sdf", self._sdf], self._placing)
        design = self._refine()
        sdf, part = self._path(self._sdf), self._path(self._part)
        # In a crowded design the other wires decide upon the way, and need all of it.
        if not is_crowded(LogicTiles(design)):
            design = settle(design, sdf, part, job.board.device, job.seed, self._try_routes)
            route_critical(design, sdf, part, self._route_part)
        design.write(self._path(self._placed))
        job.run([*self._common, "--json", self._placed, "--no-pack", "--no-place", "--sdf", self._routed_sdf, *results],
                self._routing)
        correct_report(design, *(self._path(name) for name in (self._sdf, self._routed_sdf, job.report)))

    def _refine(self):
        job = self._job

        def tell(done):
            job.progress(f"placement: better places {100 * done:.0f} %", _ANNEALING + (_SETTLING - _ANNEALING) * done)

        design = PackedDesign(self._path(self._placed))
        refine(design, self._path(self._sdf), job.board.device, job.seed, tell)
        return design

    def _try_routes(self, done):
        self._route("placement: trial of critical wires", _SETTLING + (_CRITICAL - _SETTLING) * done, "--sdf", self._routed_sdf)
        return self._path(self._routed_sdf)

    def _route_part(self, done):
        self._route("routing: critical wires", _CRITICAL + (_ROUTING - _CRITICAL) * done, "--write", self._routes)
        return self._path(self._routes)

    def _route(self, message, fraction, *results):
        """Route what is there of a design."""
        self._job.run([*self._common, "--json", self._part, "--no-pack", "--no-place", *results],
                      lambda *_: self._job.progress(message, fraction))

    def _placing(self, message, fraction):
        done = min(max(fraction - _BEGINS, 0) / (_PLACED - _BEGINS), 1)
        self._job.progress(message, _BEGINS + (_ANNEALING - _BEGINS) * done)

    def _routing(self, message, fraction):
        self._job.progress(message.replace("placement: packing", "routing: reading the places"), fraction)

    def _path(self, name) -> Path:
        return self._job.folder / name
