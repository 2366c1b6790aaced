"""What the flow needs to know about the tools of a family."""

import json
from dataclasses import asdict
from pathlib import Path

from systolith_boards.boards import Board
from systolith_boards.hierarchy import CellTable, Netlist, Resources
from systolith_boards.placement.job import PlacementJob
from systolith_boards.tools import YOSYS, SynthesisError, Tool

__all__ = ["Toolchain"]


class Toolchain:
    """Base of the toolchains.

    Attributes
    ----------
    family : str
    constraints_suffix : str
        Of the file with the pins, such as ``".lpf"``.
    bitstream_suffix : str
        Of the bitstream.
    nextpnr, packer : Tool
    cells : CellTable
    names : dict of str to str
        What a person calls the resources of the report, and the cells that nextpnr counts.
    """

    family: str
    constraints_suffix: str
    bitstream_suffix: str
    nextpnr: Tool
    packer: Tool
    cells: CellTable
    names: dict[str, str]

    def versions(self) -> dict[str, str]:
        """Version of each package, by its name."""
        return {tool.package: tool.version for tool in (YOSYS, self.nextpnr, self.packer)}

    def synthesis(self, top: str, netlist: str) -> str:
        """Yosys command that maps the design and writes the netlist."""
        raise NotImplementedError

    def demand(self, netlist: Netlist, capacity: dict[str, int]) -> dict[str, tuple[int, int]]:
        """What a netlist needs at least of each resource, and what the FPGA has.

        Parameters
        ----------
        netlist : Netlist
        capacity : dict of str to int
            See `Board.capacity`.
        """
        needed = asdict(sum(netlist.resources().values(), Resources()))
        return {name: (needed[name], available) for name, available in capacity.items()}

    def placement(self, job: PlacementJob) -> list[str]:
        """Arguments of nextpnr but the seed."""
        raise NotImplementedError

    def place_and_route(self, job: PlacementJob) -> None:
        """Run nextpnr, as often as the family needs it."""
        job.run(self.placement(job), job.progress)

    def packing(self, board: Board, *, routed: str, bitstream: str) -> list[str]:
        """Arguments of the packer."""
        raise NotImplementedError

    def harness_constraints(self, board: Board) -> str | None:
        """Pins for the wrapper of out-of-context synthesis, where nextpnr insists on pins."""
        return None

    def timing(self, report: Path, log: Path) -> tuple[float, list[dict], list[tuple[str, str, float]]]:
        """What nextpnr reports of the slowest clock.

        Returns
        -------
        fmax_mhz : float
        path : list of dict
            Steps of the critical path as nextpnr reports them.
        arrivals : list of tuple
            Cell and pin of inputs of registers, and when the last change arrives there after the clock edge, ns.

        Raises
        ------
        SynthesisError
            If there is no path.
        """
        values = json.loads(report.read_text())
        if not values["fmax"]:
            raise SynthesisError("Design must have a path between two registers of one clock")
        clock, fmax = min(values["fmax"].items(), key=lambda item: item[1]["achieved"])
        path = next((entry["path"] for entry in values["critical_paths"]
                     if entry["from"].split()[-1] == clock and entry["to"].split()[-1] == clock), [])
        edges = {f"posedge {clock}", f"negedge {clock}"}
        arrivals = [(end["cell"], end["port"], max(end["delay"])) for net in values.get("detailed_net_timings", ())
                    if net["event"] in edges for end in net["endpoints"] if end["event"] in edges]
        return fmax["achieved"], path, arrivals
