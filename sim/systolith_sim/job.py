"""What a simulator process is to run, passed as files in a folder."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from systolith_compiler.graph import Graph
from systolith_compiler.image import Image

__all__ = ["Job"]


@dataclass(frozen=True, eq=False)
class Job:
    """Inferences of one network.

    Attributes
    ----------
    image : Image
    graph : Graph
    samples : list of list of np.ndarray
        Inputs of each inference.
    limit_cycles : int
        A program that takes longer has failed.
    watchdog : int
        Register WATCHDOG.
    """

    image: Image
    graph: Graph
    samples: list[list[np.ndarray]]
    limit_cycles: int
    watchdog: int = 100_000

    def save(self, folder: Path) -> None:
        """Write the job into a folder."""
        (folder / "job.pickle").write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path) -> "Job":
        """Read a job that this process's parent wrote."""
        return pickle.loads((folder / "job.pickle").read_bytes())
