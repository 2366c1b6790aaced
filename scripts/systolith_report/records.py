"""What a report is made of: the JSON files that `run`, `gemm`, `conv` and `synth` wrote."""

import json
from dataclasses import dataclass
from pathlib import Path

from systolith_spec.config import AcceleratorConfig, ConfigurationError

__all__ = ["ReportError", "Run", "Synthesis", "read_records"]

_RUN_KEYS = ("model", "config", "layers", "predicted_cycles", "macs")
_SYNTHESIS_KEYS = ("device", "fmax_mhz", "hierarchy", "critical_path", "lut")


class ReportError(Exception):
    """A file cannot be used in a report; the message is one line that says why."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run of a network, product or layer.

    Attributes
    ----------
    label : str
        Name in the report, unlike that of any other run.
    data : dict
        Contents of the file.
    config : AcceleratorConfig or None
    """

    label: str
    data: dict
    config: AcceleratorConfig | None

    @property
    def cycles(self) -> int:
        """Cycles of the RTL or, at other levels, those predicted."""
        return self.data["cycles"] or self.data["predicted_cycles"]

    @property
    def elements(self) -> int | None:
        """Multipliers of the array."""
        return self.config.processing_elements if self.config else None

    @property
    def details(self) -> dict:
        """Timeline, traffic and memory maps; empty in a file without."""
        return self.data.get("details", {})

    @property
    def samples_per_run(self) -> int:
        """Samples that share a run."""
        return self.data.get("batch", 1)


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A synthesis for a board; `label` and `data` as for `Run`."""

    label: str
    data: dict


def _configuration(values: dict, path: Path) -> AcceleratorConfig | None:
    if "configuration" not in values:
        return None
    try:
        return AcceleratorConfig(**values["configuration"])
    except (TypeError, ConfigurationError) as error:
        raise ReportError(f"{path} has a configuration that cannot be used: {error}") from None


def read_records(paths: list[Path]) -> tuple[list[Run], list[Synthesis]]:
    """Read files of either kind.

    Raises
    ------
    ReportError
        A file cannot be read or is neither.
    """
    runs, syntheses = [], []
    for path in paths:
        try:
            data = json.loads(path.read_text())
        except OSError as error:
            raise ReportError(f"Cannot read {path}: {error.strerror}") from None
        except ValueError as error:
            raise ReportError(f"{path} is not JSON: {error}") from None
        if isinstance(data, dict) and all(key in data for key in _RUN_KEYS):
            runs.append(Run(_unique(f"{data['model']} on {data['config']}", path, runs), data, _configuration(data, path)))
        elif isinstance(data, dict) and all(key in data for key in _SYNTHESIS_KEYS):
            name = f"{data.get('config', 'design')} for {data.get('board', data['device'])}, seed {data.get('seed', 1)}"
            syntheses.append(Synthesis(_unique(name, path, syntheses), data))
        else:
            raise ReportError(f"{path} must be what `systolith run`, `gemm`, `conv` or `synth` wrote with --json")
    return runs, syntheses


def _unique(label: str, path: Path, others: list) -> str:
    return label if all(other.label != label for other in others) else f"{label} ({path.stem})"
