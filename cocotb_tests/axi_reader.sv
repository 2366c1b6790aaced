// A stand-in for an accelerator: after reset it reads bursts of 16 beats, always with the next address waiting, and
// raises irq after 2**TOTAL_LOG2 beats. The sum of all data is an output; so is the number of beats with an error.
module axi_reader #(
    parameter DATA_WIDTH = 64,
    parameter TOTAL_LOG2 = 10,
    parameter SPAN_LOG2 = 16            // bytes, then the addresses start again
) (
    input wire clk, input wire rst, output reg irq, output reg [31:0] sum, output reg [31:0] errors,
    output wire m_axi_awvalid, input wire m_axi_awready, output wire [31:0] m_axi_awaddr, output wire [7:0] m_axi_awlen,
    output wire [2:0] m_axi_awsize, output wire [1:0] m_axi_awburst, output wire [1:0] m_axi_awid,
    output wire m_axi_wvalid, input wire m_axi_wready, output wire [DATA_WIDTH-1:0] m_axi_wdata,
    output wire [DATA_WIDTH/8-1:0] m_axi_wstrb, output wire m_axi_wlast,
    input wire m_axi_bvalid, output wire m_axi_bready, input wire [1:0] m_axi_bresp, input wire [1:0] m_axi_bid,
    output reg m_axi_arvalid, input wire m_axi_arready, output reg [31:0] m_axi_araddr, output wire [7:0] m_axi_arlen,
    output wire [2:0] m_axi_arsize, output wire [1:0] m_axi_arburst, output wire [1:0] m_axi_arid,
    input wire m_axi_rvalid, output wire m_axi_rready, input wire [DATA_WIDTH-1:0] m_axi_rdata,
    input wire [1:0] m_axi_rresp, input wire m_axi_rlast, input wire [1:0] m_axi_rid,
    input wire s_axil_awvalid, output wire s_axil_awready, input wire [11:0] s_axil_awaddr, input wire [2:0] s_axil_awprot,
    input wire s_axil_wvalid, output wire s_axil_wready, input wire [31:0] s_axil_wdata, input wire [3:0] s_axil_wstrb,
    output wire s_axil_bvalid, input wire s_axil_bready, output wire [1:0] s_axil_bresp,
    input wire s_axil_arvalid, output wire s_axil_arready, input wire [11:0] s_axil_araddr, input wire [2:0] s_axil_arprot,
    output wire s_axil_rvalid, input wire s_axil_rready, output wire [31:0] s_axil_rdata, output wire [1:0] s_axil_rresp
);
  localparam BYTES_LOG2 = $clog2(DATA_WIDTH / 8);
  reg [31:0] beats;

  assign {m_axi_awvalid, m_axi_awaddr, m_axi_awlen, m_axi_awsize, m_axi_awburst, m_axi_awid} = 0;
  assign {m_axi_wvalid, m_axi_wdata, m_axi_wstrb, m_axi_wlast, m_axi_bready} = 0;
  assign {s_axil_awready, s_axil_wready, s_axil_bvalid, s_axil_bresp} = 0;
  assign {s_axil_arready, s_axil_rvalid, s_axil_rdata, s_axil_rresp} = 0;
  assign m_axi_arlen = 15;
  assign m_axi_arsize = BYTES_LOG2;
  assign m_axi_arburst = 1;
  assign m_axi_arid = m_axi_araddr[BYTES_LOG2 + 4 +: 2];
  assign m_axi_rready = 1;

  always @(posedge clk)
    if (rst) begin
      m_axi_arvalid <= 0;
      m_axi_araddr <= 0;
      {irq, sum, errors, beats} <= 0;
    end else begin
      m_axi_arvalid <= 1;
      if (m_axi_arvalid && m_axi_arready)
        m_axi_araddr <= (m_axi_araddr + (16 << BYTES_LOG2)) & ((1 << SPAN_LOG2) - 1);
      if (m_axi_rvalid) begin
        beats <= beats + 1;
        sum <= sum + m_axi_rdata[31:0];
        errors <= errors + (m_axi_rresp != 0);
        if (beats == (1 << TOTAL_LOG2) - 1) irq <= 1;
      end
    end
endmodule
