// Notes for each layer the cycle in which its last command retired, for reports. Simulation only.
//
// last[layer] counts from the reset of the simulation; 0: no command of that layer has retired. The vector
// engine finishes every layer, so only its commands count.

module retire_trace (
    input wire clk,
    input wire rst,
    input wire [3:0] trace_retire,
    input wire [47:0] trace_layer
);
  reg [31:0] last [0:4095];
  reg [31:0] now;
  integer index;
  initial begin
    now = 0;
    for (index = 0; index < 4096; index = index + 1) last[index] = 0;
  end
  always @(posedge clk) begin
    now <= now + 1;
    if (!rst && trace_retire[2]) last[trace_layer[35:24]] <= now;
  end
endmodule
