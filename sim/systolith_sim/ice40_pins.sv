// Pins and PLL of an iCE40 UltraPlus for the simulation of whole boards.

module SB_IO #(
  parameter IO_STANDARD = "", PULLUP = 1'b0, parameter [5:0] PIN_TYPE = 6'h00
) (inout PACKAGE_PIN, input D_OUT_0, OUTPUT_ENABLE, output D_IN_0);
  if (PIN_TYPE[5:2] == 0) begin : in
    assign D_IN_0 = PACKAGE_PIN;
  end else begin : out
    assign PACKAGE_PIN = D_OUT_0;
    assign D_IN_0 = D_OUT_0;
  end
endmodule

// The clock passes through as it is: nothing in a simulation depends on its frequency.
module SB_PLL40_PAD #(
  parameter FEEDBACK_PATH = "", parameter [3:0] DIVR = 0, parameter [6:0] DIVF = 0, parameter [2:0] DIVQ = 0, FILTER_RANGE = 0
) (input PACKAGEPIN, RESETB, BYPASS, output PLLOUTGLOBAL, output reg LOCK = 0);
  assign PLLOUTGLOBAL = PACKAGEPIN;
  reg [4:0] count = 0;
  always @(posedge PACKAGEPIN) begin
    count <= count + {4'b0, ~LOCK};
    LOCK <= LOCK | &count;
  end
endmodule
