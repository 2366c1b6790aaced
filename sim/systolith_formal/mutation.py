"""Broken variants of the hardware: one text of one source file replaced while a block runs."""

import importlib
import inspect
import pkgutil
import sys
import types
from contextlib import contextmanager
from dataclasses import dataclass

import systolith

__all__ = ["Mutant", "mutated"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A fault to be planted in a module.

    Attributes
    ----------
    module : str
        Module of the package ``systolith``.
    text, replacement : str
        Source text, which must occur exactly once, and what stands there instead.
    """

    module: str
    text: str
    replacement: str

    def source(self):
        """Source of the module as it is, which must have the text.

        Raises
        ------
        ValueError
            If the text does not occur exactly once.
        """
        source = inspect.getsource(importlib.import_module(f"systolith.{self.module}"))
        if source.count(self.text) != 1:
            raise ValueError(f"Text of a mutant must occur once in {self.module}, not {source.count(self.text)} times: "
                             f"{self.text!r}")
        return source


@contextmanager
def mutated(mutant):
    """Let every module of ``systolith`` use the broken variant of what ``mutant.module`` defines.

    Parameters
    ----------
    mutant : Mutant

    Raises
    ------
    ValueError
        If the text does not occur exactly once.
    """
    # All modules, so that none is imported later with the broken variant in it.
    for found in pkgutil.walk_packages(systolith.__path__, "systolith."):
        importlib.import_module(found.name)
    original = importlib.import_module(f"systolith.{mutant.module}")
    source = mutant.source()
    broken = types.ModuleType(original.__name__)
    broken.__file__ = original.__file__
    exec(compile(source.replace(mutant.text, mutant.replacement), original.__file__, "exec"), broken.__dict__)
    replaced = {id(getattr(original, name)): getattr(broken, name) for name in original.__all__}
    changed = []
    for module in [module for name, module in sys.modules.items() if name.startswith(("systolith.", "systolith_formal."))]:
        for name, value in list(vars(module).items()):
            if id(value) in replaced and value is not replaced[id(value)]:
                changed.append((module, name, value))
                setattr(module, name, replaced[id(value)])
    try:
        yield
    finally:
        for module, name, value in changed:
            setattr(module, name, value)
