"""Critical wires are routed before the others, which then go around them."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path

from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.refinement import adjust, score
from systolith_boards.placement.routed_timing import routed_delays
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["route_critical", "settle"]

# Of the longest path: wires with less slack than that, round by round; then all.
_ROUNDS = (0.3, 0.5)
_TRIALS = 6


def route_critical(design: PackedDesign, sdf: Path, part: Path, route: Callable[[float], Path]) -> None:
    """Route the wires of the slowest paths alone, then those of slow ones.

    nextpnr's router takes the wires in an order that knows nothing of slack, so that a critical one makes a detour around one
    that has time. What has been routed before stays where it is, unless there is no other way for a wire at all.

    Parameters
    ----------
    design : PackedDesign
        Gets the routes.
    sdf : Path
        Delays of its cells.
    part : Path
        Takes the file of the design without the wires that come later.
    route : callable
        Called for each round with the fraction done; routes that file and returns the one with the routes.
    """
    model = TimingModel(design, sdf)
    for number, share in enumerate(_ROUNDS):
        design.write(part, _critical(model, share))
        design.take_routes(route(number / len(_ROUNDS)))


def settle(design: PackedDesign, sdf: Path, part: Path, device: str, seed: int,
           route: Callable[[float], Path]) -> PackedDesign:
    """Route the wires of the slowest paths, move what turns out slow, and again; the best is kept.

    The delay of a wire by its length is off by 0.2 ns as often as not: the switches that it finds make the difference.
    Parameters
    ----------
    design, sdf, part
        As for :func:`route_critical`.
    device, seed
        As for :func:`~systolith_boards.placement.refinement.refine`.
    route : callable
        Called with the fraction done; routes the file ``part`` and returns an SDF file of the result.

    Returns
    -------
    PackedDesign
        Without routes.
    """
    best, least = None, math.inf
    for number in range(_TRIALS + 1):
        model = TimingModel(design, sdf)
        design.write(part, _critical(model, _ROUNDS[0]))
        delays = routed_delays(design, model, route(number / (_TRIALS + 1)))
        value = score(model.follow(delays)[1])
        if value < least:
            best, least = pickle.dumps(design), value
        if number < _TRIALS:
            adjust(design, sdf, device, seed, delays)
    return pickle.loads(best)


def _critical(model, share):
    """Inputs whose wires have less slack than this share of the longest path."""
    slack, arrivals = model.analyse()
    return {pin for pin, left in zip(model.wire, slack) if left < share * arrivals.max()}
