"""Options and fixtures of the cocotb tests.

``--simulators verilator,icarus`` (or ``all``) chooses the simulators; the default is the first one available.
``--waves DIRECTORY`` writes one waveform file per test.
"""

import re
import sys
from pathlib import Path

import pytest

from systolith_sim.cocotb_run import available_simulators

# The simulator process inherits sys.path, and so finds the <module>_tb.py files beside this one.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption("--simulators", default="", help="comma-separated simulators, or 'all'")
    parser.addoption("--waves", default=None, type=Path, help="folder for waveform files")


def pytest_generate_tests(metafunc):
    if "simulator" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--simulators")
        available = available_simulators()
        default = available[:1] or ("verilator",)
        names = available if wanted == "all" else tuple(wanted.split(",")) if wanted else default
        metafunc.parametrize("simulator", names)


@pytest.fixture
def waves(request):
    """Path of the waveform file for this test, or None."""
    folder = request.config.getoption("--waves")
    return folder and folder / (re.sub(r"[^\w.-]+", "_", request.node.name).strip("_") + ".vcd")
