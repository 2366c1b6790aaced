"""A directory of build products, keyed by a hash of everything that went into them."""

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

__all__ = ["build_once", "cache_directory", "digest"]

_KEEP_SECONDS = 30 * 24 * 3600


def cache_directory():
    """Directory of the cache: ``$SYSTOLITH_CACHE``, else ``~/.cache/systolith``; created if missing."""
    path = os.environ.get("SYSTOLITH_CACHE")
    directory = Path(path) if path else Path.home() / ".cache" / "systolith"
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def digest(*parts):
    """Hexadecimal hash (32 digits) of strings, bytes or anything with a stable ``repr``."""
    state = hashlib.sha256()
    for part in parts:
        data = (
            part
            if isinstance(part, bytes)
            else part.encode()
            if isinstance(part, str)
            else repr(part).encode()
        )
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()[:32]


@contextmanager
def _locked(path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_once(kind, key, build):
    """Return the directory ``kind/key`` of the cache, building it if it does not exist.

    Several processes may ask for the same key at once: one builds, the others wait. A build that fails
    or is killed leaves nothing behind that counts as built.

    Parameters
    ----------
    kind : str
        Folder of the cache, such as ``"verilator"``.
    key : str
        From :func:`digest`.
    build : callable
        Called with an empty directory to fill.

    Returns
    -------
    directory : Path
    built : bool
        False if it was there already.
    """
    folder = cache_directory() / kind
    folder.mkdir(parents=True, exist_ok=True)
    directory = folder / key
    if directory.exists():
        os.utime(directory)
        return directory, False
    with _locked(folder / f"{key}.lock"):
        if directory.exists():
            return directory, False
        _forget_old(folder)
        partial = folder / f"{key}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        build(partial)
        partial.rename(directory)
    return directory, True


def _forget_old(folder):
    limit = time.time() - _KEEP_SECONDS
    for entry in folder.iterdir():
        if entry.suffix != ".partial" and entry.stat().st_mtime < limit:
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
