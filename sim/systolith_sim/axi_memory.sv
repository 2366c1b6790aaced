// AXI4 main memory for simulation, with a protocol checker. Runs on Verilator and Icarus Verilog.
//
// Reads: bursts are answered in order, one beat per cycle without a bubble between queued bursts. The first
// beat of a burst is transferred read_latency cycles after its address (at least 2), later if the bus is busy.
// Writes: data is taken once the address has been, one beat per cycle without a bubble between queued bursts.
// The response is transferred write_latency cycles after the last beat (at least 2).
// DEPTH reads and DEPTH writes may be outstanding. Bursts are incrementing, beats have the full width.
//
// Plusargs (the variables of the same name may also be changed while the simulation runs):
//   +memory=FILE             contents for $readmemh, in words of DATA_WIDTH
//   +fill=HEX                32 bits repeated everywhere else, default 0
//   +read_latency=N          default 20
//   +write_latency=N         default 20
//   +stall_ar=P ... +stall_b=P   probability in percent of not being ready (ar, aw, w), or not valid (r, b)
//   +seed=N                  of the stalls
//   +slverr_base=HEX +slverr_size=HEX    bytes that answer SLVERR and are not written
//   +decerr_base=HEX +decerr_size=HEX    bytes that answer DECERR, as everything outside of the memory does
//   +silent=HEX              never answers: bit 0 no R, bit 1 no B, bit 2 no ARREADY, bit 3 no AWREADY and WREADY
//
// A violation of the protocol by the manager prints a line with SIMULATION_ERROR, which fails the test run.

module axi_memory #(
    parameter DATA_WIDTH = 64,
    parameter ADDR_WIDTH = 32,
    parameter ID_WIDTH = 1,
    parameter SIZE_LOG2 = 20,           // bytes
    parameter BASE = 0,                 // address of the first byte, a multiple of the size
    parameter DEPTH_LOG2 = 4
) (
    input wire clk,
    input wire rst,

    input wire s_axi_awvalid,
    output reg s_axi_awready,
    input wire [ADDR_WIDTH-1:0] s_axi_awaddr,
    input wire [7:0] s_axi_awlen,
    input wire [2:0] s_axi_awsize,
    input wire [1:0] s_axi_awburst,
    input wire [ID_WIDTH-1:0] s_axi_awid,

    input wire s_axi_wvalid,
    output wire s_axi_wready,
    input wire [DATA_WIDTH-1:0] s_axi_wdata,
    input wire [DATA_WIDTH/8-1:0] s_axi_wstrb,
    input wire s_axi_wlast,

    output reg s_axi_bvalid,
    input wire s_axi_bready,
    output reg [1:0] s_axi_bresp,
    output reg [ID_WIDTH-1:0] s_axi_bid,

    input wire s_axi_arvalid,
    output reg s_axi_arready,
    input wire [ADDR_WIDTH-1:0] s_axi_araddr,
    input wire [7:0] s_axi_arlen,
    input wire [2:0] s_axi_arsize,
    input wire [1:0] s_axi_arburst,
    input wire [ID_WIDTH-1:0] s_axi_arid,

    output reg s_axi_rvalid,
    input wire s_axi_rready,
    output reg [DATA_WIDTH-1:0] s_axi_rdata,
    output reg [1:0] s_axi_rresp,
    output reg s_axi_rlast,
    output reg [ID_WIDTH-1:0] s_axi_rid,

    output reg [63:0] read_beats,       // transferred since the start of the simulation
    output reg [63:0] write_beats
);
  localparam BYTES = DATA_WIDTH / 8;
  localparam BYTES_LOG2 = $clog2(BYTES);
  localparam WORD_LOG2 = SIZE_LOG2 - BYTES_LOG2;
  localparam DEPTH = 1 << DEPTH_LOG2;
  localparam [1:0] OKAY = 2'b00, SLVERR = 2'b10, DECERR = 2'b11;

  reg [DATA_WIDTH-1:0] memory [0:(1<<WORD_LOG2)-1];

  integer read_latency, write_latency;
  integer stall_ar, stall_r, stall_aw, stall_w, stall_b;
  reg [31:0] seed, fill;
  reg [ADDR_WIDTH-1:0] slverr_base, slverr_size, decerr_base, decerr_size;
  reg [3:0] silent;
  reg [8*1024-1:0] memory_file;
  integer index;

  // ---------------------------------------------------------------- time and stalls
  reg [31:0] now;
  reg [31:0] random;
  wire any_stall = (stall_ar | stall_r | stall_aw | stall_w | stall_b) != 0;

  // A xorshift32 generator; each stall looks at the low 16 bits of another product of its state.
  function [31:0] shifted(input [31:0] state);
    reg [31:0] x;
    begin
      x = state ^ (state << 13);
      x = x ^ (x >> 17);
      shifted = x ^ (x << 5);
    end
  endfunction

  function stalls(input [31:0] state, input [31:0] salt, input integer percent);
    reg [31:0] product;
    begin
      product = state * salt;
      stalls = percent != 0 && product[31:16] % 100 < percent;
    end
  endfunction

  always @(posedge clk) begin
    now <= now + 1;
    if (any_stall) random <= shifted(random);
  end
  initial begin
    read_latency = 20;
    write_latency = 20;
    stall_ar = 0; stall_r = 0; stall_aw = 0; stall_w = 0; stall_b = 0;
    seed = 1; fill = 0; silent = 0;
    slverr_base = 0; slverr_size = 0; decerr_base = 0; decerr_size = 0;
    if ($value$plusargs("read_latency=%d", read_latency)) begin end
    if ($value$plusargs("write_latency=%d", write_latency)) begin end
    if ($value$plusargs("stall_ar=%d", stall_ar)) begin end
    if ($value$plusargs("stall_r=%d", stall_r)) begin end
    if ($value$plusargs("stall_aw=%d", stall_aw)) begin end
    if ($value$plusargs("stall_w=%d", stall_w)) begin end
    if ($value$plusargs("stall_b=%d", stall_b)) begin end
    if ($value$plusargs("seed=%d", seed)) begin end
    if ($value$plusargs("fill=%h", fill)) begin end
    if ($value$plusargs("silent=%h", silent)) begin end
    if ($value$plusargs("slverr_base=%h", slverr_base)) begin end
    if ($value$plusargs("slverr_size=%h", slverr_size)) begin end
    if ($value$plusargs("decerr_base=%h", decerr_base)) begin end
    if ($value$plusargs("decerr_size=%h", decerr_size)) begin end
    for (index = 0; index < (1 << WORD_LOG2); index = index + 1)
      memory[index] = {(DATA_WIDTH / 32){fill}};
    if ($value$plusargs("memory=%s", memory_file)) $readmemh(memory_file, memory);
    read_beats = 0;
    write_beats = 0;
    now = 0;
    random = shifted(seed * 32'd2654435761 + 32'd1) | 32'd1;    // never 0, where the generator would stay
  end

  function [1:0] response(input [ADDR_WIDTH-1:0] address);
    begin
      if (((address - BASE) >> SIZE_LOG2) != 0 || address - decerr_base < decerr_size) response = DECERR;
      else if (address - slverr_base < slverr_size) response = SLVERR;
      else response = OKAY;
    end
  endfunction

  // ---------------------------------------------------------------- reads
  reg [ADDR_WIDTH-1:0] read_address [0:DEPTH-1];
  reg [7:0] read_length [0:DEPTH-1];
  reg [ID_WIDTH-1:0] read_id [0:DEPTH-1];
  reg [31:0] read_time [0:DEPTH-1];
  reg [DEPTH_LOG2-1:0] read_head, read_tail;
  reg [DEPTH_LOG2:0] read_count;
  reg [7:0] read_beat;

  wire ar_fire = s_axi_arvalid && s_axi_arready;
  wire read_last = read_beat == read_length[read_head];
  wire [31:0] read_early = read_time[read_head] - now - 1;
  wire read_due = read_count != 0 && (read_early[31] || read_early == 0);
  wire read_load = read_due && (!s_axi_rvalid || s_axi_rready) && !silent[0] && !stalls(random, 32'h9e3779b1, stall_r);
  wire [DEPTH_LOG2:0] read_count_next = read_count + ar_fire - (read_load && read_last);
  wire [ADDR_WIDTH-1:0] read_now =
      ((read_address[read_head] >> BYTES_LOG2) + read_beat) << BYTES_LOG2;
  wire [1:0] read_response = response(read_now);

  always @(posedge clk) begin
    if (s_axi_rvalid && s_axi_rready) read_beats <= read_beats + 1;
    if (rst) begin
      s_axi_arready <= 0;
      s_axi_rvalid <= 0;
      read_head <= 0;
      read_tail <= 0;
      read_count <= 0;
      read_beat <= 0;
    end else begin
      s_axi_arready <= read_count_next < DEPTH && !silent[2] && !stalls(random, 32'h85ebca6b, stall_ar);
      read_count <= read_count_next;
      if (ar_fire) begin
        read_address[read_tail] <= s_axi_araddr;
        read_length[read_tail] <= s_axi_arlen;
        read_id[read_tail] <= s_axi_arid;
        read_time[read_tail] <= now + read_latency;
        read_tail <= read_tail + 1;
      end
      if (read_load) begin
        s_axi_rvalid <= 1;
        s_axi_rdata <= read_response == OKAY ? memory[(read_now - BASE) >> BYTES_LOG2]
                                             : {(DATA_WIDTH / 32){32'hdeadbeef}};
        s_axi_rresp <= read_response;
        s_axi_rlast <= read_last;
        s_axi_rid <= read_id[read_head];
        read_beat <= read_last ? 8'd0 : read_beat + 8'd1;
        if (read_last) read_head <= read_head + 1;
      end else if (s_axi_rready) begin
        s_axi_rvalid <= 0;
      end
    end
  end

  // ---------------------------------------------------------------- writes
  reg [ADDR_WIDTH-1:0] write_address [0:DEPTH-1];
  reg [7:0] write_length [0:DEPTH-1];
  reg [ID_WIDTH-1:0] write_id [0:DEPTH-1];
  reg [1:0] write_response [0:DEPTH-1];
  reg [31:0] write_time [0:DEPTH-1];
  // Each entry passes three points: address taken (tail), data taken (middle), response sent (head).
  reg [DEPTH_LOG2-1:0] write_head, write_middle, write_tail;
  reg [DEPTH_LOG2:0] data_count, answer_count;
  reg [7:0] write_beat;
  reg [1:0] worst_response;
  reg w_stall;

  wire aw_fire = s_axi_awvalid && s_axi_awready;
  wire w_fire = s_axi_wvalid && s_axi_wready;
  wire write_last = write_beat == write_length[write_middle];
  wire [ADDR_WIDTH-1:0] write_now =
      ((write_address[write_middle] >> BYTES_LOG2) + write_beat) << BYTES_LOG2;
  wire [1:0] beat_response = response(write_now);
  wire [1:0] burst_response = worst_response == OKAY ? beat_response : worst_response;
  wire [31:0] answer_early = write_time[write_head] - now - 1;
  wire answer_due = answer_count != 0 && (answer_early[31] || answer_early == 0);
  wire answer_load = answer_due && (!s_axi_bvalid || s_axi_bready) && !silent[1]
      && !stalls(random, 32'hc2b2ae35, stall_b);
  wire [DEPTH_LOG2:0] data_count_next = data_count + aw_fire - (w_fire && write_last);
  wire [DEPTH_LOG2:0] answer_count_next = answer_count + (w_fire && write_last) - answer_load;
  wire [DATA_WIDTH-1:0] write_mask;

  assign s_axi_wready = data_count != 0 && !w_stall;

  genvar lane;
  generate
    for (lane = 0; lane < BYTES; lane = lane + 1) begin : mask
      assign write_mask[8 * lane +: 8] = {8{s_axi_wstrb[lane]}};
    end
  endgenerate

  always @(posedge clk) begin
    if (rst) begin
      s_axi_awready <= 0;
      s_axi_bvalid <= 0;
      write_head <= 0;
      write_middle <= 0;
      write_tail <= 0;
      data_count <= 0;
      answer_count <= 0;
      write_beat <= 0;
      worst_response <= OKAY;
      w_stall <= 0;
    end else begin
      // The sum of both counts is what is outstanding; it never exceeds DEPTH, so no entry is overwritten.
      s_axi_awready <= data_count_next + answer_count_next < DEPTH && !silent[3]
          && !stalls(random, 32'h27d4eb2f, stall_aw);
      w_stall <= silent[3] || stalls(random, 32'h165667b1, stall_w);
      data_count <= data_count_next;
      answer_count <= answer_count_next;
      if (aw_fire) begin
        write_address[write_tail] <= s_axi_awaddr;
        write_length[write_tail] <= s_axi_awlen;
        write_id[write_tail] <= s_axi_awid;
        write_tail <= write_tail + 1;
      end
      if (w_fire) begin
        write_beats <= write_beats + 1;
        if (beat_response == OKAY)
          memory[(write_now - BASE) >> BYTES_LOG2] <=
              (memory[(write_now - BASE) >> BYTES_LOG2] & ~write_mask) | (s_axi_wdata & write_mask);
        write_beat <= write_last ? 8'd0 : write_beat + 8'd1;
        worst_response <= write_last ? OKAY : burst_response;
        if (write_last) begin
          write_response[write_middle] <= burst_response;
          write_time[write_middle] <= now + write_latency;
          write_middle <= write_middle + 1;
        end
      end
      if (answer_load) begin
        s_axi_bvalid <= 1;
        s_axi_bresp <= write_response[write_head];
        s_axi_bid <= write_id[write_head];
        write_head <= write_head + 1;
      end else if (s_axi_bready) begin
        s_axi_bvalid <= 0;
      end
    end
  end

  // ---------------------------------------------------------------- protocol
  axi_rules #(.WIDTH(ADDR_WIDTH + 13 + ID_WIDTH)) aw_rules (
      .clk(clk), .rst(rst), .name("AW"), .valid(s_axi_awvalid), .ready(s_axi_awready),
      .payload({s_axi_awaddr, s_axi_awlen, s_axi_awsize, s_axi_awburst, s_axi_awid}));
  axi_rules #(.WIDTH(DATA_WIDTH + BYTES + 1)) w_rules (
      .clk(clk), .rst(rst), .name(" W"), .valid(s_axi_wvalid), .ready(s_axi_wready),
      .payload({s_axi_wdata, s_axi_wstrb, s_axi_wlast}));
  axi_rules #(.WIDTH(2 + ID_WIDTH)) b_rules (
      .clk(clk), .rst(rst), .name(" B"), .valid(s_axi_bvalid), .ready(s_axi_bready),
      .payload({s_axi_bresp, s_axi_bid}));
  axi_rules #(.WIDTH(ADDR_WIDTH + 13 + ID_WIDTH)) ar_rules (
      .clk(clk), .rst(rst), .name("AR"), .valid(s_axi_arvalid), .ready(s_axi_arready),
      .payload({s_axi_araddr, s_axi_arlen, s_axi_arsize, s_axi_arburst, s_axi_arid}));
  axi_rules #(.WIDTH(DATA_WIDTH + 3 + ID_WIDTH)) r_rules (
      .clk(clk), .rst(rst), .name(" R"), .valid(s_axi_rvalid), .ready(s_axi_rready),
      .payload({s_axi_rdata, s_axi_rresp, s_axi_rlast, s_axi_rid}));

  axi_burst_rules #(.ADDR_WIDTH(ADDR_WIDTH), .BYTES_LOG2(BYTES_LOG2)) aw_burst_rules (
      .clk(clk), .name("AW"), .fire(aw_fire && !rst), .address(s_axi_awaddr), .length(s_axi_awlen),
      .size(s_axi_awsize), .burst(s_axi_awburst));
  axi_burst_rules #(.ADDR_WIDTH(ADDR_WIDTH), .BYTES_LOG2(BYTES_LOG2)) ar_burst_rules (
      .clk(clk), .name("AR"), .fire(ar_fire && !rst), .address(s_axi_araddr), .length(s_axi_arlen),
      .size(s_axi_arsize), .burst(s_axi_arburst));

  always @(posedge clk)
    if (!rst && w_fire && s_axi_wlast !== write_last)
      $display("SIMULATION_ERROR: AXI: WLAST must be %b in beat %0d of a burst of %0d, not %b (time %0t)",
               write_last, write_beat + 9'd1, write_length[write_middle] + 9'd1, s_axi_wlast, $time);
endmodule


// Valid must stay high, with the same payload, until ready is high too.
module axi_rules #(
    parameter WIDTH = 1
) (
    input wire clk,
    input wire rst,
    input wire [15:0] name,
    input wire valid,
    input wire ready,
    input wire [WIDTH-1:0] payload
);
  reg pending;
  reg [WIDTH-1:0] last;
  initial pending = 0;
  always @(posedge clk) begin
    pending <= !rst && valid === 1'b1 && ready !== 1'b1;
    last <= payload;
    if (!rst) begin
      if (valid !== 1'b0 && valid !== 1'b1)
        $display("SIMULATION_ERROR: AXI: %sVALID must be 0 or 1, not %b (time %0t)", name, valid, $time);
      if (pending && !valid)
        $display("SIMULATION_ERROR: AXI: %sVALID must stay high until %sREADY (time %0t)", name, name, $time);
      if (pending && valid && payload !== last)
        $display("SIMULATION_ERROR: AXI: %s payload must be stable until %sREADY (time %0t)", name, name, $time);
    end
  end
endmodule


// Bursts increment, have the full width and stay within 4 KiB. (No burst is longer than 256: the length has 8 bits.)
module axi_burst_rules #(
    parameter ADDR_WIDTH = 32,
    parameter BYTES_LOG2 = 2
) (
    input wire clk,
    input wire [15:0] name,
    input wire fire,
    input wire [ADDR_WIDTH-1:0] address,
    input wire [7:0] length,
    input wire [2:0] size,
    input wire [1:0] burst
);
  wire [15:0] last_byte = ((address[11:0] >> BYTES_LOG2 << BYTES_LOG2) + ((16'd1 + length) << BYTES_LOG2)) - 16'd1;
  always @(posedge clk)
    if (fire) begin
      if (burst !== 2'b01)
        $display("SIMULATION_ERROR: AXI: %sBURST must be INCR, not %b (time %0t)", name, burst, $time);
      if (size !== BYTES_LOG2)
        $display("SIMULATION_ERROR: AXI: %sSIZE must be the bus width, not %0d (time %0t)", name, size, $time);
      if (last_byte[15:12] !== 4'd0)
        $display("SIMULATION_ERROR: AXI: %s burst must not cross 4 KiB, as %h + %0d beats does (time %0t)", name, address,
                 length + 9'd1, $time);
    end
endmodule
