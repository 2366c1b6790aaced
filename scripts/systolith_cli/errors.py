"""What a user can get wrong ends in one line on standard error and exit status 2, never in a traceback."""

import sys
from collections.abc import Callable
from functools import wraps

from systolith_compiler.graph import ModelError
from systolith_compiler.image import ImageError
from systolith_spec.config import ConfigurationError

__all__ = ["BAD_INPUT", "FAILED", "UserError", "guarded"]

FAILED = 1
"""Exit status of a run whose result is wrong."""
BAD_INPUT = 2
"""Exit status when an input cannot be used."""


class UserError(Exception):
    """Something the user gave cannot be used; the message is one line."""


def _known_errors() -> tuple[type[Exception], ...]:
    """Errors with a message for users; imported late, since most commands need few of them."""
    from systolith_boards.host.link import LinkError
    from systolith_boards.synthesis import SynthesisError
    from systolith_report.records import ReportError
    from systolith_sim.cocotb_run import ToolMissingError
    from systolith_sim.samples import InputError

    return (UserError, ModelError, ImageError, ConfigurationError, InputError, LinkError, SynthesisError,
            ToolMissingError, ReportError, OSError)


def guarded(command: Callable) -> Callable:
    """Turn errors with a message for users into exit status 2, a failed simulation into status 1."""

    @wraps(command)
    def wrapper(*args, **kwargs):
        from systolith_boards.host.device import RunError
        from systolith_sim.cocotb_run import SimulationError

        try:
            return command(*args, **kwargs)
        except _known_errors() as error:
            text = str(error) if not isinstance(error, OSError) or error.filename is None else (
                f"{error.strerror}: {error.filename}")
            print(f"Error: {' '.join(text.split())}", file=sys.stderr)
            sys.exit(BAD_INPUT)
        except SimulationError as error:
            print(f"Error: the simulation failed: {error}", file=sys.stderr)
            sys.exit(FAILED)
        except RunError as error:
            print(f"Error: the run on the board failed: {error}", file=sys.stderr)
            sys.exit(FAILED)

    return wrapper
