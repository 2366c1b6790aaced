// Pins and PLL of an ECP5 for the simulation of whole boards.

module IB (input I, output O);
  assign O = I;
endmodule

module OBZ (input I, input T, output O);
  assign O = T ? 1'b1 : I;  // pulled up
endmodule

// The clock passes through as it is: nothing in a simulation depends on its frequency.
module EHXPLLL #(
  parameter PLLRST_ENA = "", INTFB_WAKE = "", STDBY_ENABLE = "", DPHASE_SOURCE = "", OUTDIVIDER_MUXA = "",
            OUTDIVIDER_MUXB = "", OUTDIVIDER_MUXC = "", OUTDIVIDER_MUXD = "", CLKOP_ENABLE = "", FEEDBK_PATH = "",
            CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 1, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0
) (
  input CLKI, CLKFB, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG, STDBY, PLLWAKESYNC, RST, ENCLKOP,
  output CLKOP, output reg LOCK = 0
);
  assign CLKOP = CLKI;
  reg [4:0] count = 0;
  always @(posedge CLKI) begin
    count <= count + {4'b0, ~LOCK};
    LOCK <= LOCK | &count;
  end
endmodule
