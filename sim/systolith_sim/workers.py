"""Where long searches and random tests run: local processes, or the workers of a cluster."""

import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from systolith_sim.cocotb_run import ToolMissingError

__all__ = ["workers"]


@contextmanager
def workers(jobs: int, cluster: str | None = None) -> Iterator[Executor]:
    """An executor of so many local processes, which leave an interrupt to their parent, or that of a Dask scheduler.

    Parameters
    ----------
    jobs : int
    cluster : str or None
        Address of the scheduler, such as ``tcp://lab:8786``; its workers need this project installed.

    Raises
    ------
    ToolMissingError
        Dask, the extra ``cluster``, is not installed.
    """
    if cluster is None:
        with ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
            yield pool
        return
    try:
        from dask.distributed import Client
    except ModuleNotFoundError:
        raise ToolMissingError("--cluster needs Dask: pip install systolith[cluster]") from None
    with Client(cluster) as client:
        yield client.get_executor()
