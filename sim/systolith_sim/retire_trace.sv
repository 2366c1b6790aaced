// Notes in which cycle the last COMPUTE and the last VECTOR command of each layer retired, for reports.
// Simulation only.
//
// Cycles count from the reset of the simulation; 0: no such command of that layer has retired.

module retire_trace (
    input wire clk,
    input wire rst,
    input wire [3:0] trace_retire,
    input wire [47:0] trace_layer
);
  reg [31:0] compute [0:4095];
  reg [31:0] vector [0:4095];
  reg [31:0] now;
  integer index;
  initial begin
    now = 0;
    for (index = 0; index < 4096; index = index + 1) begin
      compute[index] = 0;
      vector[index] = 0;
    end
  end
  always @(posedge clk) begin
    now <= now + 1;
    if (!rst && trace_retire[1]) compute[trace_layer[23:12]] <= now;
    if (!rst && trace_retire[2]) vector[trace_layer[35:24]] <= now;
  end
endmodule
