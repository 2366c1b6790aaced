"""The FPGA tools of each family, one module each."""

from systolith_boards.toolchains.ecp5 import Ecp5Toolchain
from systolith_boards.toolchains.gowin import GowinToolchain
from systolith_boards.toolchains.ice40 import Ice40Toolchain

__all__ = ["TOOLCHAINS"]

TOOLCHAINS = {toolchain.family: toolchain for toolchain in (Ecp5Toolchain(), Ice40Toolchain(), GowinToolchain())}
"""Toolchain by family."""
