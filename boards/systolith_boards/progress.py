"""Tells from the logs of the FPGA tools how far they are."""

import re
import threading
from collections.abc import Callable

__all__ = ["Progress", "YosysProgress", "NextpnrProgress", "SharedProgress"]

Progress = Callable[[str, float], None]
"""Receives what is being done and the fraction done, from 0 to 1."""


class _LogProgress:
    """Base of the followers: :meth:`line` for each line of a log, :meth:`notice` for a sentence to show."""

    def __init__(self, report: Progress, message: str, fraction: float):
        self._report = report
        self._fraction = fraction
        report(message, fraction)

    def notice(self, message: str) -> None:
        """Show a message; the fraction stays."""
        self._report(message, self._fraction)

    def _show(self, message, fraction):
        self._fraction = max(fraction, self._fraction)
        self._report(message, self._fraction)


class YosysProgress(_LogProgress):
    """Follows the synthesis of yosys, which takes the fractions 0 to 0.3."""

    _SHARE = 0.3
    _PASSES = 53
    _PASS = re.compile(r"\d+\.(\d+)\. Executing (\w+)")
    _PHASES = {
        "FLATTEN": "flattening",
        "PEEPOPT": "optimising",
        "MEMORY_LIBMAP": "mapping memories",
        "DFFLEGALIZE": "mapping registers",
        "ABC9": "mapping logic",
        "AUTONAME": "naming cells",
    }

    def __init__(self, report: Progress):
        self._phase = "reading Verilog"
        super().__init__(report, f"synthesis: {self._phase}", 0.0)

    def line(self, line: str) -> None:
        """Take one line of the log."""
        if match := self._PASS.match(line):
            self._phase = self._PHASES.get(match.group(2), self._phase)
            self._show(f"synthesis: {self._phase}", self._SHARE * min(int(match.group(1)) / self._PASSES, 1))


class NextpnrProgress(_LogProgress):
    """Follows placement (fractions 0.3 to 0.6) and routing (to 0.95) of nextpnr.

    Attributes
    ----------
    used : dict
        Cells needed and available of each type, as the log lists them after packing.
    """

    _USED = re.compile(r"Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%")
    _PLACED = re.compile(r"Info: iter=(\d+) ")
    _REFINED = re.compile(r"Info:\s+at iteration #(\d+): temp")
    _ARCS = re.compile(r"Info: Routing (\d+) arcs")
    _ROUTED = re.compile(r"Info:\s+\d+ \|.*\|\s*(\d+)\|")

    def __init__(self, report: Progress):
        self.used = {}
        self._arcs = 1
        super().__init__(report, "placement: packing", 0.3)

    def line(self, line: str) -> None:
        """Take one line of the log."""
        if match := self._USED.match(line):
            # The first list is of all cells; later ones may repeat it.
            self.used.setdefault(match.group(1), (int(match.group(2)), int(match.group(3))))
        elif match := self._PLACED.match(line):
            count = int(match.group(1)) // 20 * 20
            self._show(f"placement: step {count}", 0.3 + 0.25 * count / (count + 200))  # their number is open
        elif match := self._REFINED.match(line):
            self._show(f"placement: refinement {match.group(1)}", 0.56)
        elif match := self._ARCS.match(line):
            self._arcs = int(match.group(1))
            self._show(f"routing: {self._arcs} connections", 0.6)
        elif match := self._ROUTED.match(line):
            left = int(match.group(1))
            done = 1 - min(left / max(self._arcs, 1), 1)  # there may be none: all are routed already
            self._show(f"routing: {left} of {self._arcs} connections left", 0.6 + 0.35 * done)


class SharedProgress:
    """Progress of several that run side by side: the mean of their fractions, and how many are done.

    Parameters
    ----------
    report : callable
        Receives the progress of all.
    parts : int
        How many there are.
    """

    def __init__(self, report: Progress, parts: int):
        self._report = report
        self._fractions = [0.3] * parts
        self._lock = threading.Lock()

    def part(self, index: int) -> Progress:
        """Return what receives the progress of one of them."""

        def tell(message, fraction):
            with self._lock:
                self._fractions[index] = max(fraction, self._fractions[index])
                count = len(self._fractions)
                text = message if count == 1 else f"{message} (seed {index + 1} of {count})"
                self._report(text, sum(self._fractions) / count)

        return tell
