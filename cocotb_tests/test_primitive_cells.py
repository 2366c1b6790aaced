"""Primitives against the cell models of yosys: simulated, and proved equivalent where they are pipelines."""

import pytest
from amaranth.hdl import Module, Signal, Value, signed, unsigned
from amaranth.lib.wiring import Component, In, Out

from systolith.delay import delay
from systolith.multiplier import Multiplier
from systolith.primitives.held_multiplier_pair import HeldMultiplierPair
from systolith.primitives.ice40 import Ice40HeldMultiplierPair, Ice40MultiplierPair, Ice40SinglePortRam
from systolith.primitives.lut import Ecp5LutMultiplier
from systolith.primitives.multiplier_pair import MultiplierPair
from systolith.primitives.multiply_add import MultiplyAdd
from systolith.primitives.nexus import NexusMultiplier, NexusMultiplyAdd
from systolith.primitives.single_port_ram import SinglePortRam
from systolith_sim.cocotb_run import run
from systolith_sim.equivalence import EquivalenceError, prove_equivalent
from systolith_sim.yosys_cells import yosys_cells

CELLS = {
    "ice40": ("SB_MAC16", "SB_SPRAM256KA"), "ecp5": ("CCU2C", "LUT4", "LUT2"),
    "nexus": ("MULT9X9", "MULT18X18", "MULTADDSUB9X9WIDE", "OXIDE_DSP_SIM", "OXIDE_DSP_REG"),
}
BYTE, WORD = {"a_shape": signed(8), "b_shape": signed(8)}, {"a_shape": signed(17), "b_shape": unsigned(12)}


class Both(Component):
    """The generic and the family's primitive with the same inputs."""

    def __init__(self, generic, family):
        assert generic.signature == family.signature
        self._parts = generic, family
        members = {name: (member.flow, Value.cast(getattr(generic, name)).shape().width)
                   for name, member in generic.signature.members.items()}
        self._output, width = next((name, width) for name, (flow, width) in members.items() if flow == Out)
        self._inputs = [name for name, (flow, _) in members.items() if flow == In]
        super().__init__({**{name: In(members[name][1]) for name in self._inputs}, "generic": Out(width),
                          "family": Out(width)})

    def elaborate(self, platform):
        m = Module()
        for name, part in zip(("generic", "family"), self._parts, strict=True):
            m.submodules[f"{name}_part"] = part
            m.d.comb += getattr(self, name).eq(Value.cast(getattr(part, self._output)))
            m.d.comb += [Value.cast(getattr(part, port)).eq(getattr(self, port)) for port in self._inputs]
        return m


def simulate(generic, family, cells, simulator, test, **arguments):
    results = run(Both(generic, family), top="both", test_module="primitive_cells_tb", simulator=simulator, test_filter=test,
                  extra_sources=["`timescale 1ns/1ps\n" + yosys_cells(cells, *CELLS[cells])],
                  arguments={"cycles": 3000, **arguments}, verilator_arguments=("-Wno-fatal",))
    (values,) = results.records
    return values


@pytest.mark.parametrize(("cells", "generic", "family", "inputs"), [
    ("nexus", lambda: Multiplier(**BYTE), lambda: NexusMultiplier(**BYTE), {"a": [8], "b": [8]}),
    ("nexus", lambda: Multiplier(**WORD), lambda: NexusMultiplier(**WORD), {"a": [17], "b": [12]}),
    ("nexus", lambda: MultiplyAdd(shape=signed(21), count=4, addend_latency=3), lambda: NexusMultiplyAdd(shape=signed(21)),
     {"a": [8] * 4, "b": [8] * 4, "addend": [21]}),
    ("ice40", MultiplierPair, Ice40MultiplierPair, {"a": [8] * 2, "b": [8] * 2}),
    ("ice40", HeldMultiplierPair, Ice40HeldMultiplierPair, {"a": [8], "b": [8] * 2, "load": [1]}),
    ("ecp5", lambda: Multiplier(**BYTE, latency=3), Ecp5LutMultiplier, {"a": [8], "b": [8]}),
], ids=["nexus-9", "nexus-18", "nexus-multiply-add", "ice40-pair", "ice40-held-pair", "ecp5-lut"])
def test_cells_in_simulation(cells, generic, family, inputs, simulator):
    values = simulate(generic(), family(), cells, simulator, "same_outputs", inputs=inputs, latency=4)
    assert values["different"] == 0 and values["seen"] > 1000


@pytest.mark.parametrize(("width", "depth", "granularity"), [(32, 1 << 15, 8), (16, 1 << 14, None), (24, 100, 4)])
def test_ice40_single_port_ram(width, depth, granularity, simulator):
    shape = {"width": width, "depth": depth, "granularity": granularity}
    values = simulate(SinglePortRam(**shape), Ice40SinglePortRam(**shape), "ice40", simulator, "same_reads", width=width,
                      depth=depth, enables=width // granularity if granularity else 1)
    assert values["different"] == 0 and values["seen"] > 500


@pytest.mark.parametrize(("cells", "generic", "family", "depth"), [
    ("nexus", lambda: Multiplier(**BYTE), lambda: NexusMultiplier(**BYTE), 2),
    pytest.param("ice40", MultiplierPair, Ice40MultiplierPair, 2, marks=pytest.mark.slow),  # about ten minutes
    pytest.param("ecp5", lambda: Multiplier(**BYTE, latency=3), Ecp5LutMultiplier, 3, marks=pytest.mark.slow),
], ids=["nexus-9", "ice40-pair", "ecp5-lut"])
def test_cells_are_equivalent_for_all_operands(cells, generic, family, depth):
    prove_equivalent(generic(), family(), depth=depth, cells=yosys_cells(cells, *CELLS[cells]))


class FourMultipliers(MultiplyAdd):
    """The multiply-add of Nexus from single multipliers of the family, each proved above, and adders."""

    def __init__(self, *, shape):
        super().__init__(shape=shape, count=4, addend_latency=3)

    def elaborate(self, platform):
        m = Module()
        products = []
        for index in range(4):
            m.submodules[f"multiplier_{index}"] = single = NexusMultiplier(**BYTE)
            m.d.comb += [single.a.eq(self.a[index]), single.b.eq(self.b[index])]
            products.append(single.p)
        total = Signal.like(self.total, reset_less=True)
        addend = delay(m, self.addend, 2, name="addend")
        m.d.sync += total.eq(addend + (products[2] + products[3]) + (products[0] + products[1]))
        m.d.comb += self.total.eq(total)
        return m


@pytest.mark.slow
def test_nexus_multiply_add_is_four_multipliers_and_adders():
    prove_equivalent(FourMultipliers(shape=signed(21)), NexusMultiplyAdd(shape=signed(21)), depth=3,
                     cells=yosys_cells("nexus", *CELLS["nexus"]))


def test_a_wrong_cell_is_refuted():
    class Broken(Ecp5LutMultiplier):
        _SUBTRACT = 0x8778

    with pytest.raises(EquivalenceError):
        prove_equivalent(Multiplier(**BYTE, latency=3), Broken(), depth=3, cells=yosys_cells("ecp5", *CELLS["ecp5"]))
