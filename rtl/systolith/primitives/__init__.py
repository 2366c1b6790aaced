"""FPGA primitives: one interface, one small module for each family.

=========  ==================================  =============================  =========================  ==============
family     multiplier                          multiply-add (column sums)     block RAM                  single-port RAM
=========  ==================================  =============================  =========================  ==============
generic    ``*``                               ``*`` and ``+``                inferred                   inferred
ecp5       MULT18X18D                          2 x MULT18X18D and ALU54B      DP16KD with its registers  inferred
ice40      SB_MAC16, two 8x8 products in one   generic                        inferred                   SB_SPRAM256KA
gowin      MULT9X9, MULT18X18                  MULTADDALU18X18                SDPB with its registers    inferred
nexus      MULT9X9, MULT18X18                  MULTADDSUB9X9WIDE              inferred                   inferred
=========  ==================================  =============================  =========================  ==============

All of one column have the same ports, latency and results, so that a design simulates in its generic form.
"""
