"""The command line `systolith`: one module per command, put together here."""

import typer

from systolith_cli.array import array
from systolith_cli.boards import boards
from systolith_cli.compile import compile_network
from systolith_cli.configs import configs
from systolith_cli.conv import conv
from systolith_cli.explore import explore
from systolith_cli.gemm import gemm
from systolith_cli.info import info
from systolith_cli.report import report
from systolith_cli.run import run
from systolith_cli.synth import synth
from systolith_cli.verilog import verilog

__all__ = ["app"]

app = typer.Typer(
    name="systolith", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode="rich", help="Systolith: an int8 neural-network accelerator. Runs [bold].tflite[/bold] networks on "
    "its cycle-accurate RTL, writes its Verilog, and synthesises it for FPGAs.")

for command in (run, gemm, conv, info, report, explore, verilog, synth, array, configs, boards):
    app.command()(command)
app.command("compile")(compile_network)
