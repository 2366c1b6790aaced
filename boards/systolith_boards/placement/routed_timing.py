"""The clock of a routed design that nextpnr-ecp5 has read from a file."""

import json
import re
from pathlib import Path

import numpy as np

from systolith_boards.placement.packed_design import PackedDesign
from systolith_boards.placement.timing_model import TimingModel

__all__ = ["correct_report", "routed_delays"]

_WIRE = re.compile(r"\(INTERCONNECT \S+ (\S+)/(\S+?) \(\S*?:\S*?:(\d+)\)")


def correct_report(design: PackedDesign, cells: Path, routed: Path, report: Path) -> float:
    """Time a design with the carry chains as they are, and put that into nextpnr's report.

    Two bits of a carry chain (CCU2C) are two cells. The carry takes 71 ps through the first and none through the second
    (speed grade 6). nextpnr tells the second from the first by a relation that it keeps from packing and does not write to its
    files: in a design that it has read it takes all for first ones, and a carry over 32 bits comes out 1.1 ns too late. So the
    delays of cells are taken from before, those of wires from the routed design, all as nextpnr wrote them.

    Nothing is changed where there are several clocks.

    Parameters
    ----------
    design : PackedDesign
        As it was routed.
    cells : Path
        SDF file from the run that packed the design.
    routed : Path
        SDF file from the run that routed it.
    report : Path
        JSON report of that run; gets clock, slowest path and arrivals.

    Returns
    -------
    float
        Longest path, ps.
    """
    model = TimingModel(design, cells)
    delays = routed_delays(design, model, routed)
    _, arrivals = model.follow(delays)
    values = json.loads(report.read_text())
    if len(values["fmax"]) == 1:
        (clock, entry), = values["fmax"].items()
        entry["achieved"] = 1e6 / arrivals.max()
        event = f"posedge {clock}"
        kept = [path for path in values["critical_paths"] if (path["from"], path["to"]) != (event, event)]
        slowest = {"from": event, "to": event, "path": _path(design, model, int(arrivals.argmax()), delays)}
        values["critical_paths"] = [slowest, *kept]
        pins = list(model.wire)
        found = {(design.names[cell], port): time / 1000 for (cell, port), time
                 in zip((pins[wire] for wire in model.ends.tolist()), arrivals.tolist())}
        for net in values.get("detailed_net_timings", ()):
            for end in net["endpoints"]:
                if net["event"] == end["event"] == event and (end["cell"], end["port"]) in found:
                    end["delay"] = [found[end["cell"], end["port"]]]
        report.write_text(json.dumps(values))
    return float(arrivals.max())


def routed_delays(design: PackedDesign, model: TimingModel, sdf: Path) -> np.ndarray:
    """Return the delay of each wire of the model in a routed design, ps; that by distance for one that is not in the file."""
    delays = model.wire_delays()
    with open(sdf) as lines:
        for line in lines:
            if match := _WIRE.search(line):
                cell = design.index.get(match[1].replace("\\", ""))
                wire = model.wire.get((cell, match[2]))
                if wire is not None:
                    delays[wire] = int(match[3])
    return delays


def _path(design, model, end, delays):
    """Steps of a path as nextpnr reports them."""
    pins, nets = list(model.wire), {driver: net for net, driver in design.drivers.items()}
    steps, setup = model.path_to(end, delays)
    result, here = [], None
    for number, (wire, before) in enumerate(steps):
        driver, (sink, port) = model.driver_pin(wire), pins[wire]
        out = {"cell": design.names[driver[0]], "port": driver[1]}
        result.append({"type": "logic" if number else "clk-to-q", "delay": before / 1000, "from": here or out, "to": out})
        here = {"cell": design.names[sink], "port": port}
        result.append({"type": "routing", "delay": float(delays[wire]) / 1000, "from": out, "to": here,
                       "net": design.net_name(nets[driver])})
    return [*result, {"type": "setup", "delay": setup / 1000, "from": here, "to": here}]
