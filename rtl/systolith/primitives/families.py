"""Implementations by name of the style, which is the family's."""

from systolith.block_ram import BlockRam, Ecp5BlockRam
from systolith.multiplier import Ecp5Multiplier, Multiplier
from systolith.primitives.ecp5 import Ecp5MultiplyAdd
from systolith.primitives.gowin import GowinBlockRam, GowinMultiplier, GowinMultiplyAdd
from systolith.primitives.held_multiplier_pair import HeldMultiplierPair
from systolith.primitives.ice40 import Ice40HeldMultiplierPair, Ice40MultiplierPair, Ice40SinglePortRam
from systolith.primitives.lut import Ecp5LutMultiplier, LutMultiplier
from systolith.primitives.multiplier_pair import MultiplierPair
from systolith.primitives.multiply_add import MultiplyAdd
from systolith.primitives.nexus import NexusMultiplier, NexusMultiplyAdd
from systolith.primitives.single_port_ram import SinglePortRam

__all__ = ["BLOCK_RAMS", "HELD_MULTIPLIER_PAIRS", "LUT_MULTIPLIERS", "MULTIPLIERS", "MULTIPLIER_PAIRS", "MULTIPLY_ADDS",
           "SINGLE_PORT_RAMS"]

MULTIPLIERS = {"generic": Multiplier, "ecp5": Ecp5Multiplier, "ice40": Multiplier, "gowin": GowinMultiplier,
               "nexus": NexusMultiplier}
"""Registered multipliers; that of iCE40 is inferred, since only pairs use the cells fully."""
LUT_MULTIPLIERS = {"generic": LutMultiplier, "ecp5": Ecp5LutMultiplier, "ice40": LutMultiplier, "gowin": LutMultiplier,
                   "nexus": LutMultiplier}
"""8x8 multipliers without DSP blocks."""
MULTIPLIER_PAIRS = {"generic": MultiplierPair, "ecp5": MultiplierPair, "ice40": Ice40MultiplierPair, "gowin": MultiplierPair,
                    "nexus": MultiplierPair}
"""Two 8x8 multipliers in a cell."""
HELD_MULTIPLIER_PAIRS = {"generic": HeldMultiplierPair, "ecp5": HeldMultiplierPair, "ice40": Ice40HeldMultiplierPair,
                         "gowin": HeldMultiplierPair, "nexus": HeldMultiplierPair}
"""The same with one operand in common and the other held."""
MULTIPLY_ADDS = {"generic": MultiplyAdd, "ecp5": Ecp5MultiplyAdd, "ice40": MultiplyAdd, "gowin": GowinMultiplyAdd,
                 "nexus": NexusMultiplyAdd}
"""Products and an addend."""
BLOCK_RAMS = {"generic": BlockRam, "ecp5": Ecp5BlockRam, "ice40": BlockRam, "gowin": GowinBlockRam, "nexus": BlockRam}
"""RAMs with a write port and a read port of two cycles."""
SINGLE_PORT_RAMS = {"generic": SinglePortRam, "ecp5": SinglePortRam, "ice40": Ice40SinglePortRam, "gowin": SinglePortRam,
                    "nexus": SinglePortRam}
"""RAMs with one port."""
