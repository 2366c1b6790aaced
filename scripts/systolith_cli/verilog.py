"""`systolith verilog`: Verilog of a configuration, its manifest and what a SoC needs beside them."""

from systolith.generate import generate
from systolith_cli.configuration import find_config
from systolith_cli.errors import guarded
from systolith_cli.options import ConfigOption, OutOption
from systolith_cli.output import console

__all__ = ["verilog"]


@guarded
def verilog(out: OutOption, config: ConfigOption = "small-8x8") -> None:
    """Write Verilog, manifest, C driver, register descriptions and core file; the same input gives the same bytes.

    Example: [dim]systolith verilog --config tiny-4x4 --out build/tiny[/dim]
    """
    accelerator = find_config(config)
    for path in generate(accelerator, out):
        console().print(f"{path}  {path.stat().st_size:,} bytes")
