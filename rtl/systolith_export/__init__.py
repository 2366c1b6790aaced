"""What a SoC needs beside the Verilog: register descriptions in four formats, C driver, core file, LiteX wrapper."""
