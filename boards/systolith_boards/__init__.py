"""Boards and synthesis: from Verilog to area, clock rate and bitstream."""
