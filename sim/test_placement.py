"""Tests of the placement on the ECP5: blocks, rules of the tiles, model of delays, annealing, copies, all passes."""

import itertools
import json
import os
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.block_ram import block_ram
from systolith.multiplier import multiplier
from systolith.verilog import to_verilog
from systolith_boards.boards import BOARDS
from systolith_boards.harness import HARNESS, out_of_context
from systolith_boards.placement import annealing
from systolith_boards.placement.annealing import is_legal
from systolith_boards.placement.block_sites import BLOCK_TYPES, block_sites
from systolith_boards.placement.circuit import build_circuit, occupy, read_layout
from systolith_boards.placement.logic_groups import LogicGroups
from systolith_boards.placement.logic_tiles import LogicTiles
from systolith_boards.placement.lut_pins import LutPins
from systolith_boards.placement.packed_design import COMB, FF, RAMW, PackedDesign
from systolith_boards.placement.refinement import is_crowded, refine
from systolith_boards.placement.replication import replicate_flipflops
from systolith_boards.placement.routed_timing import correct_report
from systolith_boards.placement.routing_order import route_critical, settle
from systolith_boards.placement.timing_model import LUT_PINS, TimingModel
from systolith_boards.toolchains import TOOLCHAINS
from systolith_boards.tools import YOSYS, run_tool

DEVICE = "LFE5U-85F"
CLOCK_TO_OUTPUT, LUT_DELAY, SETUP = 525, 236, 30
OUTPUTS = {"F", "OFX", "FCO", "Q", "DOA0", "P0", "WDO0"}


class Netlist:
    """A placed design, written cell by cell."""

    def __init__(self):
        self._cells, self._nets = {}, {}

    def _net(self, name):
        return self._nets.setdefault(name, len(self._nets) + 2)

    def add(self, name, kind, place, parameters=None, **ports):
        """Add a cell; each port is given the name of its net, or "" for none."""
        self._cells[name] = {
            "type": kind,
            "parameters": parameters or {},
            "attributes": {"NEXTPNR_BEL": place},
            "port_directions": {port: "output" if port in OUTPUTS else "input" for port in ports},
            "connections": {port: [self._net(net)] if net else [] for port, net in ports.items()},
        }
        return self

    def flipflop(self, name, x, y, slot, clock="clk", reset="", enable="", **ports):
        port = {"Q": name, **ports}
        parameters = {"CEMUX": "CE", "GSR": "DISABLED", "CLKMUX": "CLK", "LSRMUX": "LSR", "SRMODE": "LSR_OVER_CE", "SD": "0"}
        place = f"X{x}/Y{y}/SLICE{'ABCD'[slot // 2]}.FF{slot % 2}"
        return self.add(name, FF, place, parameters, CLK=clock, LSR=reset, CE=enable, **port)

    def lut(self, name, x, y, slot, mode="LOGIC", table=0x6996, **ports):
        parameters = {"MODE": mode, "INITVAL": f"{table:016b}"}
        return self.add(name, COMB, f"X{x}/Y{y}/SLICE{'ABCD'[slot // 2]}.K{slot % 2}", parameters, **{"F": name, **ports})

    def read(self, folder):
        names = {name: {"bits": [bit]} for name, bit in self._nets.items()}
        path = folder / "placed.json"
        path.write_text(json.dumps({"modules": {"top": {"cells": self._cells, "netnames": names}}}))
        return PackedDesign(path)

    def sdf(self, folder):
        """Delays of these cells, as nextpnr writes them."""
        lines = []
        for name, cell in self._cells.items():
            lines.append(f"(INSTANCE {name})")
            if cell["type"] == FF:
                lines.append(f"(IOPATH CLK Q (1:1:{CLOCK_TO_OUTPUT}) (1:1:{CLOCK_TO_OUTPUT}))")
                lines += [f"(SETUPHOLD (posedge {port}) (posedge CLK) (0:0:{SETUP}) (0:0:0))" for port in ("DI", "M")]
            elif cell["type"] in BLOCK_TYPES:
                outputs = [port for port, direction in cell["port_directions"].items() if direction == "output"]
                lines += [f"(IOPATH CLK {port} (1:1:{CLOCK_TO_OUTPUT}) (1:1:{CLOCK_TO_OUTPUT}))" for port in outputs]
            else:
                inputs = [port for port in cell["connections"] if port in "ABCD"]
                lines += [f"(IOPATH {port} F (1:1:{LUT_DELAY}) (1:1:{LUT_DELAY}))" for port in inputs]
        path = folder / "placed.sdf"
        path.write_text("\n".join(lines))
        return path


def filled(netlist, size):
    """Add a flip-flop to each corner, so that the grid is known."""
    for x, y in itertools.product(range(2, size), repeat=2):
        if x == y or x == 2 or y == 2:
            netlist.flipflop(f"corner_{x}_{y}", x, y, 7, M=f"corner_{x}_{y}_d")
    return netlist


@pytest.mark.parametrize("device, rams, multipliers", [("LFE5U-85F", 208, 156), ("LFE5U-25F", 56, 28)])
def test_as_many_sites_as_the_device_has(device, rams, multipliers):
    for kind, count in (("DP16KD", rams), ("MULT18X18D", multipliers)):
        sites = block_sites(device, kind)
        assert len(set(sites)) == len(sites) == count


def wire_length(design):
    total = 0
    for net, (driver, _) in design.drivers.items():
        ends = [(design.x[cell], design.y[cell]) for cell in [driver, *(sink for sink, _ in design.sinks.get(net, ()))]]
        total += sum(max(column) - min(column) for column in zip(*ends))
    return total


def test_blocks_come_to_their_logic(tmp_path):
    netlist = filled(Netlist(), 90)
    sites = block_sites(DEVICE, "DP16KD")[:40:2]
    order = random.Random(1).sample(sites, len(sites))
    for number, ((x, y, site, _), (other_x, other_y, *_)) in enumerate(zip(order, sites)):
        netlist.add(f"ram{number}", "DP16KD", f"X{x}/Y{y}/{site}", DOA0=f"q{number}", ADA0=f"a{number}")
        netlist.flipflop(f"in{number}", other_x, other_y + 1, 0, Q=f"a{number}", M=f"q{number}")
    design = netlist.read(tmp_path)
    before = wire_length(design)
    refine(design, netlist.sdf(tmp_path), DEVICE, seed=1)
    blocks = [cell for cell, kind in enumerate(design.types) if kind == "DP16KD"]
    places = {(design.x[cell], design.y[cell], design.site[cell]) for cell in blocks}
    assert len(places) == len(blocks) and places <= {site[:3] for site in block_sites(DEVICE, "DP16KD")}
    assert wire_length(design) < before / 5


def test_groups_of_multipliers_share_their_enables(tmp_path):
    """All want to be at the same place; those with other enables than the group there must stay away."""
    netlist = filled(Netlist(), 20)
    for number, (x, y, site, group) in enumerate(block_sites("LFE5U-25F", "MULT18X18D")[::2]):  # two to a group
        netlist.add(f"product{number}", "MULT18X18D", f"X{x}/Y{y}/{site}", A0="a", P0=f"p{number}", CE0=f"enable{group % 2}")
        netlist.flipflop(f"p{number}_sink", 4, 12, number % 8, M=f"p{number}")
    netlist.flipflop("a", 4, 14, 0, M="x")
    design = netlist.read(tmp_path)
    groups = {site[:3]: site[3] for site in block_sites("LFE5U-25F", "MULT18X18D")}
    before = wire_length(design)
    refine(design, netlist.sdf(tmp_path), "LFE5U-25F", seed=1)
    enables = {}
    for cell, kind in enumerate(design.types):
        if kind == "MULT18X18D":
            group = groups[design.x[cell], design.y[cell], design.site[cell]]
            enables.setdefault(group, set()).add(design.net(cell, "CE0"))
    assert all(len(nets) == 1 for nets in enables.values())
    assert wire_length(design) < before


RULES = {
    "two resets in a tile": lambda n: n.flipflop("a", 3, 3, 0, reset="r", M="x").flipflop("b", 3, 3, 6, reset="s", M="x"),
    "two clocks in a tile": lambda n: n.flipflop("a", 3, 3, 0, clock="c", M="x").flipflop("b", 3, 3, 6, clock="d", M="x"),
    "two enables in a slice": lambda n: n.flipflop("a", 3, 3, 0, enable="e", M="x").flipflop("b", 3, 3, 1, enable="f", M="x"),
    "carry and other LUT in a slice": lambda n: n.lut("a", 3, 3, 0, mode="CCU2").lut("b", 3, 3, 1),
    "two inputs M in a slot": lambda n: n.lut("a", 3, 3, 0, M="m").flipflop("b", 3, 3, 0, M="x"),
}
LEGAL = {
    "two enables in a tile": lambda n: n.flipflop("a", 3, 3, 0, enable="e", M="x").flipflop("b", 3, 3, 2, enable="f", M="x"),
    "one reset in a tile": lambda n: n.flipflop("a", 3, 3, 0, reset="r", M="x").flipflop("b", 3, 3, 6, reset="r", M="x"),
    "carry and other LUT in a tile": lambda n: n.lut("a", 3, 3, 0, mode="CCU2").lut("b", 3, 3, 2),
    "LUT and the flip-flop that it feeds": lambda n: n.lut("a", 3, 3, 0, M="m").flipflop("b", 3, 3, 0, DI="a"),
    "LUT that stores beside its write port": lambda n: n.lut("a", 3, 3, 0, mode="DPRAM").add("w", RAMW, "X3/Y3/SLICEC.RAMW"),
}


def annealed_rule(design, tile):
    """What the annealing thinks of a tile: it has the rules a second time, compiled."""
    tiles = LogicTiles(design)
    circuit = build_circuit(design, tiles, TimingModel(design, Path(os.devnull)), DEVICE)
    return is_legal(circuit, occupy(circuit, read_layout(design, DEVICE), tiles).cells, tile[1], tile[0])


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_the_tiles(rule, tmp_path):
    design = RULES[rule](Netlist()).read(tmp_path)
    assert not LogicTiles(design).legal((3, 3)) and not annealed_rule(design, (3, 3))


@pytest.mark.parametrize("case", LEGAL)
def test_what_the_rules_allow(case, tmp_path):
    design = LEGAL[case](Netlist()).read(tmp_path)
    assert LogicTiles(design).legal((3, 3)) and annealed_rule(design, (3, 3))


def test_no_lut_moves_beside_a_write_port(tmp_path):
    netlist = Netlist().add("w", RAMW, "X3/Y3/SLICEC.RAMW").lut("a", 4, 4, 4)
    design = netlist.read(tmp_path)
    tiles = LogicTiles(design)
    tiles.take(design.index["a"])
    design.place(design.index["a"], 3, 3, 4)
    tiles.put(design.index["a"])
    assert not tiles.legal((3, 3))


def test_two_groups_of_a_cluster_do_not_go_to_one_place(tmp_path):
    """The LUT displaces a pair, whose flip-flop goes where the LUT was; so does the flip-flop that the LUT takes along."""
    netlist = (Netlist().lut("lut", 4, 3, 0, A="x").flipflop("end", 3, 3, 0, M="lut")
               .lut("pair", 5, 3, 0, A="x").flipflop("paired", 5, 3, 0, DI="pair"))
    design = filled(netlist, 8).read(tmp_path)
    tiles, model = LogicTiles(design), TimingModel(design, Path(os.devnull))
    circuit, layout = build_circuit(design, tiles, model, DEVICE), read_layout(design, DEVICE)
    occupation = occupy(circuit, layout, tiles)
    before = [column.copy() for column in layout], occupation.cells.copy()
    weight = np.zeros(len(model.drivers))
    weight[model.wire[design.index["end"], "M"]] = 1
    moved, target = np.empty(16, dtype=np.int32), np.empty((16, 3), dtype=np.int32)
    for size, expected in ((1, True), (2, False)):
        count = annealing._plan_cluster(circuit, layout, occupation, circuit.group[design.index["lut"]], 1, 0, weight, 0.5,
                                        moved, target, np.empty(size, dtype=np.int32))
        assert count == 2 + size
        assert annealing._exchange(circuit, layout, occupation, moved, target, count) == expected
        annealing._exchange(circuit, layout, occupation, moved, target, count)
        assert all((now == then).all() for now, then in zip([*layout, occupation.cells], [*before[0], before[1]]))


def path_of_two(far=9):
    """Flip-flop, two LUTs, the second so many tiles away, flip-flop."""
    return (Netlist().flipflop("from", 3, 3, 0, M="x").lut("first", 3, 3, 1, A="from")
            .lut("second", 3 + far, 3, 0, B="first").flipflop("to", 3, 4, 0, M="second"))


def test_longest_path(tmp_path):
    netlist = path_of_two()
    design = netlist.read(tmp_path)
    model = TimingModel(design, netlist.sdf(tmp_path))
    slack, arrivals = model.analyse()
    wires = [model.wire[design.index[cell], port] for cell, port in (("first", "A"), ("second", "B"), ("to", "M"))]
    delays = model.wire_delays()[wires]
    assert arrivals.max() == pytest.approx(CLOCK_TO_OUTPUT + 2 * LUT_DELAY + SETUP + delays.sum())
    assert slack[wires] == pytest.approx([0, 0, 0])
    assert delays[0] < delays[1] and delays[2] == model.distance_delay(-9, 1)
    assert delays[1] == model.distance_delay(9, 0) + LUT_PINS["B"]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 30), st.integers(2, 30)), min_size=3, max_size=8, unique=True))
def test_slack_is_what_the_slowest_path_leaves(tmp_path_factory, tiles):
    """A tree of LUTs: the slack at each wire is found by going through all paths."""
    folder = tmp_path_factory.mktemp("tree")
    netlist = Netlist().flipflop("n0", *tiles[0], 0, M="x")
    parents = {number: (number - 1) // 2 for number in range(1, len(tiles))}
    for number, parent in parents.items():
        netlist.lut(f"n{number}", *tiles[number], 0, A=f"n{parent}").flipflop(f"end{number}", *tiles[number], 1, M=f"n{number}")
    design = netlist.read(folder)
    model = TimingModel(design, netlist.sdf(folder))
    slack, arrivals = model.analyse()
    delays = model.wire_delays()

    def wire(name, port):
        return model.wire[design.index[name], port]

    lengths = {}
    for number in parents:
        steps, node = [wire(f"end{number}", "M")], number
        while node:
            steps.append(wire(f"n{node}", "A"))
            node = parents[node]
        lengths[number] = (sum(delays[step] for step in steps) + CLOCK_TO_OUTPUT + SETUP + LUT_DELAY * (len(steps) - 1), steps)
    longest = max(length for length, _ in lengths.values())
    assert arrivals.max() == pytest.approx(longest)
    for step in {step for _, steps in lengths.values() for step in steps}:
        assert slack[step] == pytest.approx(longest - max(length for length, steps in lengths.values() if step in steps))


def output(values, design, cell):
    """What a LUT makes of the values of nets; an input without a net reads 1."""
    table = int(design.parameter(cell, "INITVAL"), 2)
    levels = [design.net(cell, pin) for pin in LUT_PINS]
    return table >> sum((1 if net is None else values[net]) << place for place, net in enumerate(levels)) & 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16 - 1), st.permutations("ABCD"), st.permutations("ABCD"),
       st.sets(st.sampled_from("ABCD"), min_size=1))
def test_a_lut_does_the_same_with_its_inputs_exchanged(tmp_path_factory, table, first, second, used):
    folder = tmp_path_factory.mktemp("lut")
    netlist = Netlist().lut("lut", 3, 3, 0, table=table, **{pin: f"n{pin}" for pin in used})
    netlist.flipflop("end", 3, 4, 0, M="lut")
    for place, pin in enumerate(sorted(used)):
        netlist.flipflop(f"n{pin}", 4 + place, 3, 0, M="x")
    design, original = netlist.read(folder), netlist.read(folder)
    lut = design.index["lut"]
    pins = {design.net(lut, pin): pin for pin in used}
    for order in (first, second):
        design.exchange_pins(lut, dict(zip("ABCD", order)))
    for levels in itertools.product((0, 1), repeat=len(pins)):
        values = dict(zip(pins, levels))
        assert output(values, design, lut) == output(values, original, lut)
    for net, pin in pins.items():
        now = design.exchanged.get((lut, pin), pin)
        assert design.net(lut, now) == net and design.sinks[net] == [(lut, now)]
    # The file tells the delays of the inputs as they were.
    model = TimingModel(design, netlist.sdf(folder))
    slowest = max(model.wire_delays()[model.wire[lut, design.exchanged.get((lut, pin), pin)]] for pin in used)
    last = model.wire_delays()[model.wire[design.index["end"], "M"]]
    assert model.analyse()[1].max() == pytest.approx(CLOCK_TO_OUTPUT + slowest + LUT_DELAY + last + SETUP)


def test_the_latest_wire_gets_the_fastest_input(tmp_path):
    """Four flip-flops at distances that fall from A to D."""
    netlist = Netlist().flipflop("end", 3, 4, 0, M="lut").lut("lut", 3, 3, 0, **{pin: f"n{pin}" for pin in "ABCD"})
    for distance, pin in zip((9, 1, 5, 3), "ABCD"):
        netlist.flipflop(f"n{pin}", 3 + distance, 3, 0, M="x")
    netlist.lut("carry", 3, 3, 4, mode="CCU2", A="nA", B="nB").flipflop("sum", 3, 4, 1, M="carry")
    design, original = netlist.read(tmp_path), netlist.read(tmp_path)
    model, lut, carry = TimingModel(design, netlist.sdf(tmp_path)), design.index["lut"], design.index["carry"]
    pins = LutPins(design, model)
    pins.assign(model.analyse()[0])
    expected = model.analyse()[1]
    pins.write()
    assert [design.net(lut, pin) for pin in "DCBA"] == [original.net(lut, pin) for pin in "ACDB"]
    assert [design.net(carry, pin) for pin in "AB"] == [original.net(carry, pin) for pin in "AB"]
    assert sorted(TimingModel(design, netlist.sdf(tmp_path)).analyse()[1]) == pytest.approx(sorted(expected))


def test_inputs_stay_without_an_assignment(tmp_path):
    netlist = Netlist().flipflop("end", 3, 4, 0, M="lut").lut("lut", 3, 3, 0, **{pin: f"n{pin}" for pin in "ABC"})
    for pin in "ABC":
        netlist.flipflop(f"n{pin}", 5, 3, 0, M="x")
    design, original = netlist.read(tmp_path), netlist.read(tmp_path)
    LutPins(design, TimingModel(design, netlist.sdf(tmp_path))).write()
    lut = design.index["lut"]
    assert [design.net(lut, pin) for pin in "ABC"] == [original.net(lut, pin) for pin in "ABC"]


def test_delays_by_distance_alone(tmp_path):
    """Wires of the same length from flip-flops and LUTs to the inputs of a LUT."""
    netlist = Netlist().flipflop("end", 3, 4, 0, M="lut").lut("lut", 3, 3, 0, **{pin: f"n{pin}" for pin in "ABC"})
    for pin, put in zip("ABC", (netlist.flipflop, netlist.flipflop, netlist.lut)):
        put(f"n{pin}", 5, 3, 0 if pin == "A" else 1 if pin == "B" else 2, **{"D" if pin == "C" else "M": "x"})
    design = netlist.read(tmp_path)
    lut, cells = design.index["lut"], netlist.sdf(tmp_path)
    plain, by_pins = (TimingModel(design, cells, by_pins=choice) for choice in (False, True))
    delays = [[model.wire_delays()[model.wire[lut, pin]] for pin in "ABC"] for model in (plain, by_pins)]
    assert len(set(delays[0])) == 1 and len(set(delays[1])) == 3


def test_a_crowded_chip(tmp_path):
    """LUTs in use, of those in columns and rows with logic."""
    netlist = Netlist()
    for number in range(12):
        netlist.lut(f"n{number}", 3 + number % 2, 3, number // 2, A="x")
    tiles = LogicTiles(netlist.read(tmp_path))
    assert tiles.fill == 12 / 16 and is_crowded(tiles)
    assert not is_crowded(LogicTiles(filled(path_of_two(), 30).read(tmp_path)))


def test_a_wire_weighs_what_its_cell_drives(tmp_path):
    netlist = path_of_two()
    for number in range(3):
        netlist.flipflop(f"side{number}", 5, 3, number, M="first")
    design = netlist.read(tmp_path)
    model = TimingModel(design, netlist.sdf(tmp_path))
    weight = np.zeros(len(model.drivers))

    def wire(cell, port):
        return model.wire[design.index[cell], port]

    assert (model.branching(weight) == 1).all()
    weight[[wire("second", "B"), *(wire(f"side{number}", "M") for number in range(3))]] = 0.8, 0.2, 0.2, 0.4
    expected = np.ones(len(weight))
    expected[wire("first", "A")] = (0.8 + 0.2 + 0.2 + 0.4) / 0.8
    assert model.branching(weight) == pytest.approx(expected)


def test_critical_wires_are_routed_first(tmp_path):
    """A slow path and one with time, which meet in a LUT; nets of a pin and of a clock buffer are always there."""
    netlist = (path_of_two(far=90).flipflop("early", 93, 3, 1, M="z").add("pin", "TRELLIS_IO", "X0/Y0/PIOA", O="z")
               .add("buffer", "DCCA", "X1/Y0/DCC0", CLKI="c", CLKO="clk"))
    netlist.lut("second", 93, 3, 0, A="early", B="first").flipflop("paired", 93, 3, 0, DI="second")
    netlist.flipflop("to", 93, 4, 0, M="second")
    design, seen = netlist.read(tmp_path), []

    def route(done):
        written = json.loads((tmp_path / "part.json").read_text())["modules"]["top"]
        used = {(name, port) for name, cell in written["cells"].items() for port, bits in cell["connections"].items()
                if bits and bits != ["x"]}
        seen.append((done, used, {name for name, net in written["netnames"].items() if "attributes" in net}))
        for name, values in written["netnames"].items():
            values["attributes"] = {"ROUTING": f"way{len(seen)};;1" if name in ("first", "second") else " "}
        (tmp_path / "routes.json").write_text(json.dumps({"modules": {"top": written}}))
        return tmp_path / "routes.json"

    route_critical(design, netlist.sdf(tmp_path), tmp_path / "part.json", route)
    assert [done for done, _, _ in seen] == [0, 0.5]
    for _, used, _ in seen:
        assert {("first", "F"), ("second", "B"), ("second", "F"), ("paired", "DI"), ("early", "M"), ("early", "CLK")} <= used
        assert ("second", "A") not in used and ("early", "Q") not in used
    assert [routed for _, _, routed in seen] == [set(), {"first", "second"}]
    design.write(tmp_path / "all.json")
    names = json.loads((tmp_path / "all.json").read_text())["modules"]["top"]["netnames"]
    assert {name: net["attributes"]["ROUTING"] for name, net in names.items() if "attributes" in net} == {
        "first": "way2;;1", "second": "way2;;1"}
    assert PackedDesign(tmp_path / "all.json").sinks == netlist.read(tmp_path).sinks


def test_what_routes_badly_is_moved_and_the_best_is_kept(tmp_path):
    """The wire to the second LUT takes 3 ns more than it should in the first trial, and all are slow in the last ones."""
    netlist = filled(path_of_two(far=12), 30)
    design = netlist.read(tmp_path)
    trials = []

    def route(done):
        written = PackedDesign(tmp_path / "part.json")
        model = TimingModel(written, netlist.sdf(tmp_path))
        delays = model.wire_delays() + (3000 if not trials else 0 if len(trials) < 3 else 5000)
        trials.append((done, [written.site, written.x, written.y]))
        lines = [f"(INTERCONNECT a/Q {written.names[cell]}/{port} (1:1:{delay:.0f}) (1:1:{delay:.0f}))"
                 for (cell, port), delay in zip(model.wire, delays)]
        (tmp_path / "routed.sdf").write_text("\n".join(lines))
        return tmp_path / "routed.sdf"

    before = TimingModel(design, netlist.sdf(tmp_path)).analyse()[1].max()
    settled = settle(design, netlist.sdf(tmp_path), tmp_path / "part.json", DEVICE, 1, route)
    assert [done for done, _ in trials] == [number / 7 for number in range(7)]
    assert TimingModel(settled, netlist.sdf(tmp_path)).analyse()[1].max() < before
    assert [settled.site, settled.x, settled.y] in [trial for _, trial in trials[1:3]]
    tiles = LogicTiles(settled)
    assert all(tiles.legal(place) for place in zip(settled.x, settled.y))


def test_refinement_brings_a_path_together(tmp_path):
    netlist = filled(path_of_two(far=25), 30)
    design = netlist.read(tmp_path)
    before, after = refine(design, netlist.sdf(tmp_path), DEVICE, seed=1)
    assert after < 0.7 * before
    assert TimingModel(design, netlist.sdf(tmp_path)).analyse()[1].max() == pytest.approx(after)
    places = [(design.types[cell], design.x[cell], design.y[cell], design.slot[cell]) for cell in range(len(design.names))]
    assert len(set(places)) == len(places)
    tiles = LogicTiles(design)
    assert all(tiles.legal((x, y)) for _, x, y, _ in places)
    again = netlist.read(tmp_path)
    refine(again, netlist.sdf(tmp_path), DEVICE, seed=1)
    assert (again.x, again.y, again.slot) == (design.x, design.y, design.slot)
    design.write(tmp_path / "refined.json")
    assert PackedDesign(tmp_path / "refined.json").site == design.site


def test_refinement_keeps_the_rules(tmp_path):
    """Tiles with flip-flops of another reset or enable in the way."""
    netlist = Netlist().flipflop("a_from", 3, 15, 0, M="x", reset="r", enable="e")
    for number in range(20):
        netlist.lut(f"lut{number}", 4 + number, 3, 0, A=f"to{number - 1}" if number % 5 else "a_from")
        netlist.flipflop(f"to{number}", 29, 4 + number, 1, M=f"lut{number}", reset="r", enable="e")
    draw = random.Random(1)
    for x, y in itertools.product(range(2, 30), repeat=2):
        if (x, y) != (3, 15) and x != 29:
            slot, reset, enable = draw.randrange(8), draw.choice("rs"), draw.choice("ef")
            netlist.flipflop(f"wall{x}_{y}", x, y, slot, M=f"d{x}_{y}", reset=reset, enable=enable)
    design = netlist.read(tmp_path)
    before, after = refine(design, netlist.sdf(tmp_path), DEVICE, seed=1)
    assert after < before
    tiles = LogicTiles(design)
    assert all(tiles.legal(tile) for tile in zip(design.x, design.y))


def test_a_chain_stays_one(tmp_path):
    netlist = Netlist().flipflop("from", 3, 3, 0, M="x")
    for number in range(12):
        carry = {"FCI": f"carry{number - 1}"} if number else {}
        netlist.lut(f"bit{number}", 20 + number // 8, 20, number % 8, mode="CCU2", A="from", FCO=f"carry{number}", **carry)
        netlist.flipflop(f"sum{number}", 20 + number // 8, 20, number % 8, DI=f"bit{number}")
    netlist = filled(netlist, 30)
    design = netlist.read(tmp_path)
    groups = LogicGroups(design, LogicTiles(design))
    assert len({groups.group[design.index[f"{kind}{number}"]] for kind in ("bit", "sum") for number in range(12)}) == 1
    assert not groups.any_slot(groups.group[design.index["bit0"]])
    before, after = refine(design, netlist.sdf(tmp_path), DEVICE, seed=1)
    assert after < before
    first = design.index["bit0"]
    for number in range(12):
        for kind in ("bit", "sum"):
            cell = design.index[f"{kind}{number}"]
            place = (design.x[cell] - design.x[first], design.y[cell] - design.y[first], design.slot[cell])
            assert place == (number // 8, 0, number % 8)


def test_distributed_ram_moves_as_one(tmp_path):
    """With its write port and the LUTs that nextpnr puts in the place of that."""
    netlist = (Netlist().flipflop("from", 3, 3, 0, M="x").add("w", RAMW, "X20/Y20/SLICEC.RAMW", WDO0="data", D1="from")
               .lut("store", 20, 20, 0, mode="DPRAM", WD="data", A="from").flipflop("to", 3, 4, 0, M="store")
               .lut("blocked4", 20, 20, 4).lut("blocked5", 20, 20, 5))
    for number in range(8):
        netlist.lut(f"other{number}", 4, 4, number, A="from").flipflop(f"other{number}_to", 4, 4, number, DI=f"other{number}")
    netlist = filled(netlist, 30)
    design = netlist.read(tmp_path)
    before, after = refine(design, netlist.sdf(tmp_path), DEVICE, seed=1)
    assert after < before
    parts = {design.index[name]: slot for name, slot in (("store", 0), ("blocked4", 4), ("blocked5", 5), ("w", None))}
    assert {(design.x[cell], design.y[cell]) for cell in parts} not in ({(20, 20)}, set())
    assert len({(design.x[cell], design.y[cell]) for cell in parts}) == 1
    assert {cell: design.slot[cell] for cell in parts} == parts
    assert design.site[design.index["w"]] == "SLICEC.RAMW"


def test_far_sinks_get_a_copy(tmp_path):
    netlist = Netlist().flipflop("before", 28, 3, 0, M="x").flipflop("shared", 3, 3, 0, M="before", enable="on")
    netlist.flipflop("on", 3, 4, 1, M="x")
    for name, x in (("near", 4), ("far", 48), ("farther", 50)):
        netlist.lut(f"{name}1", x, 3, 0, A="shared").lut(f"{name}2", x, 3, 1, A=f"{name}1")
        netlist.flipflop(name, x, 3, 2, M=f"{name}2", reset="shared")
    netlist = filled(netlist, 52)
    design = netlist.read(tmp_path)
    model = TimingModel(design, netlist.sdf(tmp_path))
    assert replicate_flipflops(design, model, LogicTiles(design)) == 1
    copy = design.index["shared$copy0"]
    assert design.types[copy] == FF and abs(design.x[copy] - 49) <= 2
    assert [design.net(copy, port) for port in ("M", "CE", "CLK")] == [
        design.net(design.index["shared"], port) for port in ("M", "CE", "CLK")]
    for name, source in (("near1", "shared"), ("far1", "shared$copy0"), ("farther1", "shared$copy0")):
        assert design.drivers[design.net(design.index[name], "A")] == (design.index[source], "Q")
    for name in ("near", "far", "farther"):  # shared in a tile: not moved to a copy
        assert design.drivers[design.net(design.index[name], "LSR")] == (design.index["shared"], "Q")
    assert TimingModel(design, netlist.sdf(tmp_path)).analyse()[1].max() < model.analyse()[1].max() - 300
    design.write(tmp_path / "copied.json")
    assert "shared$copy0" in PackedDesign(tmp_path / "copied.json").index


def test_no_copy_where_its_input_would_come_too_late(tmp_path):
    netlist = Netlist().flipflop("before", 3, 4, 0, M="x").flipflop("shared", 3, 3, 0, M="slow4")
    for number in range(5):
        netlist.lut(f"slow{number}", 3, 10 + number, 0, A=f"slow{number - 1}" if number else "before")
    netlist.lut("far1", 48, 3, 0, A="shared").lut("far2", 48, 3, 1, A="far1").lut("far3", 48, 20, 1, A="far2")
    netlist.flipflop("far", 48, 3, 2, M="far3")
    netlist = filled(netlist, 52)
    design = netlist.read(tmp_path)
    assert replicate_flipflops(design, TimingModel(design, netlist.sdf(tmp_path)), LogicTiles(design)) == 0


def test_ports_without_a_net_are_kept(tmp_path):
    netlist = Netlist().add("ram", "DP16KD", "X4/Y22/EBR0", DOA0="q", ADA0="", ADB0="a").flipflop("a", 3, 3, 0, M="")
    netlist.read(tmp_path).write(tmp_path / "out.json")
    cells = json.loads((tmp_path / "out.json").read_text())["modules"]["top"]["cells"]
    assert cells["ram"]["connections"]["ADA0"] == ["x"] and isinstance(cells["ram"]["connections"]["ADB0"][0], int)


class Blocks(Component):
    """A product that goes through a block RAM, a distributed RAM and a sum: one of each kind of cell."""

    def __init__(self):
        super().__init__({"a": In(signed(8)), "b": In(signed(8)), "address": In(9), "sum": Out(24)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = product = multiplier(style="ecp5", a_shape=8, b_shape=8, latency=3)
        m.submodules.ram = ram = block_ram(style="ecp5", width=16, depth=512)
        m.submodules.table = table = Memory(shape=16, depth=16, init=[])
        write, read = table.write_port(), table.read_port(domain="comb")
        count = Signal(4)
        m.d.sync += [count.eq(count + 1), self.sum.eq(self.sum + read.data)]
        m.d.comb += [
            product.a.eq(self.a), product.b.eq(self.b),
            ram.w_addr.eq(self.address), ram.w_data.eq(product.p), ram.w_en.eq(1), ram.r_addr.eq(~self.address), ram.r_en.eq(1),
            write.addr.eq(count), write.data.eq(ram.r_data), write.en.eq(1), read.addr.eq(~count),
        ]  # fmt: skip
        return m


def settings_of(config):
    """Everything that a configuration sets but routes, without what routing may choose: which input of a LUT, which line."""
    text = re.sub(r"SLICE[A-D]\.", "", re.sub(r"INIT [01]+", "INIT", re.sub(r"\b([A-D]|K|CLK|LSR)[01](MUX)?", r"\2", config)))
    lines = Counter(line for line in text.splitlines() if line.startswith(("enum:", "word:")))
    return {line: count for line, count in lines.items() if not re.search(r"LSR|CLK|SRMODE|enum: MUX", line)}


def test_a_design_that_is_read_again_is_the_same(tmp_path):
    """nextpnr is asked to go on with the file that it has written: no setting may get lost on the way."""
    text = to_verilog(Blocks(), "dut_top")
    (tmp_path / "design.v").write_text(text + out_of_context(text, "dut_top"))
    script = f"read_verilog -sv design.v; synth_ecp5 -top {HARNESS} -json netlist.json"
    run_tool(YOSYS, ["-p", script], folder=tmp_path, log="yosys.log")
    board = BOARDS["ulx3s-85f"]
    common = ["--25k", "--package", board.package, "--speed", "6", "--lpf-allow-unconstrained", "--router", "router1"]

    def nextpnr(*arguments):
        run_tool(TOOLCHAINS["ecp5"].nextpnr, [*common, *arguments, "--seed", "1"], folder=tmp_path, log="nextpnr.log")

    place = ["--json", "netlist.json", "--placer", "static"]
    nextpnr(*place, "--textcfg", "whole.config")
    nextpnr(*place, "--no-route", "--write", "placed.json")
    design = PackedDesign(tmp_path / "placed.json")
    assert {"DP16KD", "MULT18X18D", RAMW, COMB, FF} <= set(design.types)
    design.write(tmp_path / "again.json")
    nextpnr("--json", "again.json", "--no-pack", "--no-place", "--textcfg", "again.config")
    whole, again = (settings_of((tmp_path / f"{name}.config").read_text()) for name in ("whole", "again"))
    assert whole == again and sum(whole.values()) > 500


COUNTER = """
module top(input clk, input [31:0] a, output reg [31:0] q);
  reg [31:0] b;
  always @(posedge clk) begin b <= a; q <= q + b; end
endmodule
"""


def test_carry_chains_are_timed_right_when_read_again(tmp_path):
    """Our timing is that of nextpnr to the picosecond, but for what it forgets: which half of a CCU2C a cell is."""
    (tmp_path / "design.v").write_text(COUNTER)
    run_tool(YOSYS, ["-p", "read_verilog design.v; synth_ecp5 -top top -json netlist.json"], folder=tmp_path, log="yosys.log")
    board = BOARDS["ulx3s-85f"]
    common = ["--25k", "--package", board.package, "--speed", "6", "--lpf-allow-unconstrained", "--router", "router1",
              "--timing-allow-fail", "--seed", "1"]

    def nextpnr(*arguments):
        run_tool(TOOLCHAINS["ecp5"].nextpnr, [*common, *arguments], folder=tmp_path, log="nextpnr.log")

    place = ["--json", "netlist.json", "--placer", "static"]
    nextpnr(*place, "--report", "whole.json", "--sdf", "whole.sdf", "--detailed-timing-report")
    nextpnr(*place, "--no-route", "--write", "placed.json", "--sdf", "placed.sdf")
    design = PackedDesign(tmp_path / "placed.json")
    design.write(tmp_path / "placed.json")
    nextpnr("--json", "placed.json", "--no-pack", "--no-place", "--report", "again.json", "--sdf", "again.sdf",
            "--detailed-timing-report")

    def timed(cells, routed, report):
        """Clock by nextpnr and by us, MHz, and what our report says."""
        (before,) = json.loads((tmp_path / report).read_text())["fmax"].values()
        (tmp_path / "corrected.json").write_text((tmp_path / report).read_text())
        longest = correct_report(design, tmp_path / cells, tmp_path / routed, tmp_path / "corrected.json")
        after = json.loads((tmp_path / "corrected.json").read_text())
        (clock,) = after["fmax"].values()
        assert clock["achieved"] == pytest.approx(1e6 / longest)
        (path_of,) = [path for path in after["critical_paths"] if path["from"] == path["to"]]
        assert sum(step["delay"] for step in path_of["path"]) == pytest.approx(longest / 1000)
        ends = [max(end["delay"]) for net in after["detailed_net_timings"] for end in net["endpoints"]
                if net["event"] == end["event"] == path_of["from"]]
        assert max(ends) == pytest.approx(longest / 1000)
        return before["achieved"], clock["achieved"]

    for cells, routed, report in (("whole.sdf", "whole.sdf", "whole.json"), ("again.sdf", "again.sdf", "again.json")):
        by_nextpnr, ours = timed(cells, routed, report)
        assert ours == pytest.approx(by_nextpnr, rel=1e-6)
    by_nextpnr, ours = timed("placed.sdf", "again.sdf", "again.json")
    assert 900 < 1e6 / by_nextpnr - 1e6 / ours < 1200  # about 15 times 71 ps
