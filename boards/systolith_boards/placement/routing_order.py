"""Critical wires are routed before the others, which then go around them."""

from collections.abc import Callable
from pathlib import Path

from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["route_critical"]

# Of the longest path: wires with less slack than that, round by round; then all.
_ROUNDS = (0.3, 0.5)


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
    slack, arrivals = model.analyse()
    for number, share in enumerate(_ROUNDS):
        chosen = {pin for pin, left in zip(model.wire, slack) if left < share * arrivals.max()}
        design.write(part, chosen)
        design.take_routes(route(number / len(_ROUNDS)))
