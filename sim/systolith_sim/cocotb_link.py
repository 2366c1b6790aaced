"""Exchange of plain data between a pytest function and the cocotb tests it started."""

import json
import os

__all__ = ["arguments", "record"]


def arguments():
    """Data given to :func:`systolith_sim.cocotb_run.run` as ``arguments``, as a dict."""
    return json.loads(os.environ.get("SYSTOLITH_ARGUMENTS", "{}"))


def record(**values):
    """Hand values (numbers, strings, lists) back as one dict of ``Results.records``."""
    path = os.environ.get("SYSTOLITH_RECORD")
    if path:
        with open(path, "a") as file:
            file.write(json.dumps(values) + "\n")
