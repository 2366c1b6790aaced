"""Models of FPGA cells and the network of `make gates`, without synthesis."""

import pytest
from amaranth import *
from amaranth.lib.wiring import Component, In, Out

from systolith.block_ram import block_ram
from systolith.multiplier import multiplier
from systolith_golden.machine import Machine
from systolith_sim.cocotb_run import run
from systolith_sim.gate_cells import cell_library
from systolith_sim.gates import DESIGNS, SMALL, cell_counts, small_image
from systolith_sim.verilog import to_verilog
from systolith_spec.commands import decode

NETLIST = """module systolith(a, b);
  wire [1:0] a;
  LUT4 #(
    .INIT(16'h1234)
  ) _1_ (
    .A(a[0])
  );
  CCU2C \\x.y  (
    .CIN(a[0])
  );
  assign b = a;
endmodule
"""


class Pairs(Component):
    """Block RAMs and multipliers of ECP5 beside those of plain Amaranth, with the same inputs."""

    SIZES = ((4, 4096, None), (9, 2048, None), (18, 1024, 9), (36, 512, 9), (32, 512, 8), (2, 8192, None))

    def __init__(self):
        super().__init__({"noise": In(160), "different": Out(len(self.SIZES) + 1)})

    def elaborate(self, platform):
        m = Module()
        for index, (width, depth, granularity) in enumerate(self.SIZES):
            rams = [block_ram(style=style, width=width, depth=depth, granularity=granularity) for style in ("generic", "ecp5")]
            for style, ram in zip("ge", rams, strict=True):
                m.submodules[f"ram_{index}_{style}"] = ram
                # Few addresses, so that what is read has been written.
                m.d.comb += [
                    ram.w_addr.eq(Cat(self.noise[:3], Const(0, 4), self.noise[3])), ram.w_data.eq(self.noise[4:]),
                    ram.w_en.eq(self.noise[40:]), ram.r_en.eq(self.noise[60]),
                    ram.r_addr.eq(Cat(self.noise[61:64], Const(0, 4), self.noise[64])),
                ]
            m.d.comb += self.different[index].eq(rams[0].r_data != rams[1].r_data)
        products = [multiplier(style=style, a_shape=signed(18), b_shape=signed(18), latency=2) for style in ("generic", "ecp5")]
        for style, product in zip("ge", products, strict=True):
            m.submodules[f"multiplier_{style}"] = product
            m.d.comb += [product.a.eq(self.noise[70:].as_signed()), product.b.eq(self.noise[100:].as_signed())]
        m.d.comb += self.different[-1].eq(products[0].p != products[1].p)
        return m


def test_block_ram_and_multiplier_models():
    netlist = to_verilog(Pairs(), "pairs")
    cells = cell_library("ecp5", "DP16KD #(\n  DP16KD x (\n  MULT18X18D y (\n")
    results = run(netlist, top="pairs", test_module="cells_tb", extra_sources=[cells])
    assert results.records == [{"different": 0, "cycles": 2000}]


def test_libraries_hold_what_a_netlist_uses():
    cells = cell_library("ecp5", NETLIST)
    assert {"LUT4", "CCU2C"} <= {line.split()[1].split("(")[0] for line in cells.splitlines() if line.startswith("module")}
    assert "DP16KD" not in cells
    assert "specify" not in cells.replace("endspecify", "")
    assert "MULT18X18D" in cell_library("ecp5", "  MULT18X18D x (\n")
    assert "SB_MAC16" in cell_library("ice40", "  SB_MAC16 x (\n")
    assert cell_counts(NETLIST) == {"LUT4": 1, "CCU2C": 1}


def test_cells_without_model_are_named():
    with pytest.raises(ValueError, match="^Cells must have a model, not FANTASY$"):
        cell_library("ice40", "  FANTASY x (\n")
    with pytest.raises(ValueError, match="^Cells must have a model, not MULT36X36$"):
        cell_library("gowin", "  LUT2 x (\n  MULT36X36 y (\n")


@pytest.mark.parametrize("config", list(dict.fromkeys([SMALL, *(design.config for design in DESIGNS)])),
                         ids=lambda config: f"{config.name}-{config.multiplier_style}")
def test_network_uses_every_unit(config):
    image, memory = small_image(config)
    commands = [decode(data) for data in image.commands(image.steps[0])]
    assert {command.name for command, _ in commands} == {"LOAD", "COMPUTE", "VECTOR", "PARAMS", "STORE", "END"}
    units = {"column_mode": config.depthwise_streams > 0, "operand_scale": config.residual_add, "softmax": config.softmax,
             "maximum_reduce": config.pooling}
    for field, wanted in units.items():
        assert any(fields.get(field) for _, fields in commands) == wanted, field
    before = memory.copy()
    Machine(config, memory, writable=image.writable, check_hazards=True, check_undefined=True).run(image.steps[0].program)
    assert (memory != before).any()
