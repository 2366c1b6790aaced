"""FuseSoC core file."""

import re

__all__ = ["core_file"]

_TEXT = """CAPI=2:
name: systolith:accelerator:{name}:{version}
description: Systolith, an int8 neural-network accelerator ({name})

filesets:
  rtl:
    files:
      - systolith.v
    file_type: verilogSource
  driver:
    files:
      - systolith_regs.h: {{is_include_file: true}}
      - systolith.h: {{is_include_file: true}}
      - systolith.c
    file_type: cSource

targets:
  default:
    filesets: [rtl]
    toplevel: systolith
  driver:
    filesets: [driver]
    toplevel: systolith
  lint:
    default_tool: verilator
    filesets: [rtl]
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wno-fatal]
    toplevel: systolith
"""


def core_file(name: str, version: str) -> str:
    """Return ``systolith.core`` (CAPI2), which names the files beside it.

    Parameters
    ----------
    name : str
        Name of the configuration; becomes the name of the core.
    version : str

    Returns
    -------
    str
    """
    return _TEXT.format(name=re.sub(r"[^\w-]", "_", name), version=version)
