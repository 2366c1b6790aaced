"""Mutants of the RTL on the level of Amaranth: one small change of the hardware that a module describes.

Only statements for the hardware are changed, never the Python that builds it: a dropped assignment (`drop`), the
opposite condition of an `If` (`negate`), another operator (`operator`), another comparison (`compare`), exchanged
inputs of a `Mux` (`mux`), a missing inversion (`invert`).
"""

import ast
import importlib.abc
import importlib.machinery
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RTL", "Mutant", "MutantFinder", "modules", "mutants", "mutated", "replaced"]

RTL = Path(__file__).resolve().parents[2] / "rtl" / "systolith"
_OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Mult: ast.Add,
}
_COMPARISONS = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
}
_HARDWARE_CALLS = ("Mux", "Cat")


@dataclass(frozen=True)
class Mutant:
    """A change of one place of a module.

    Attributes
    ----------
    module : str
        Name of the file, without extension.
    kind : str
    line, column : int
    text : str
        The statement or expression that is changed.
    """

    module: str
    kind: str
    line: int
    column: int
    text: str

    @property
    def name(self) -> str:
        """What identifies it while the line is not edited."""
        return f"{self.module}:{self.line}:{self.column} {self.kind}"


def modules() -> list[str]:
    """Modules of the RTL."""
    return sorted(path.stem for path in RTL.glob("*.py") if path.stem != "__init__")


def _is_assignment(node: ast.AST) -> bool:
    """Whether a statement is `m.d.domain += ...`."""
    return (isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Attribute | ast.Subscript)
            and isinstance(node.target.value, ast.Attribute) and node.target.value.attr == "d")


def _sites(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Places to change, with the kind of change."""
    for node in ast.walk(tree):
        if _is_assignment(node):
            yield "drop", node
            for call in ast.walk(node.value):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "eq" and call.args:
                    yield from _expression(call.args[0])
        elif isinstance(node, ast.Assign) and _is_logic(node.value):
            yield from _expression(node.value)
        elif isinstance(node, ast.With):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("If", "Elif"):
                    yield "negate", call
                    yield from _expression(call.args[0])


def _is_logic(node: ast.AST) -> bool:
    """Whether an expression can only be one of the hardware: bitwise operators, a `Mux`."""
    match node:
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.BitXor()) | ast.UnaryOp(op=ast.Invert()):
            return True
        case ast.Call(func=ast.Name(id="Mux")):
            return True
    return False


def _expression(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Places inside an expression of the hardware; indices and arguments of Python functions are left alone."""
    match node:
        case ast.BinOp():
            if type(node.op) in _OPERATORS:
                yield "operator", node
            yield from _expression(node.left)
            yield from _expression(node.right)
        case ast.Compare():
            if type(node.ops[0]) in _COMPARISONS:
                yield "compare", node
            yield from _expression(node.left)
        case ast.UnaryOp():
            if isinstance(node.op, ast.Invert):
                yield "invert", node
            yield from _expression(node.operand)
        case ast.Call(func=ast.Name(id=name)) if name in _HARDWARE_CALLS:
            if name == "Mux" and len(node.args) == 3:
                yield "mux", node
            for argument in node.args:
                yield from _expression(argument)
        case ast.Call(func=ast.Attribute()):
            yield from _expression(node.func.value)
        case ast.Subscript() | ast.Attribute():
            yield from _expression(node.value)


def _change(kind: str, node: ast.AST) -> None:
    """Change a place of a tree."""
    match kind:
        case "drop":
            node.value = ast.List([], ast.Load())
        case "negate":
            node.args[0] = ast.Compare(node.args[0], [ast.Eq()], [ast.Constant(0)])
        case "operator":
            node.op = _OPERATORS[type(node.op)]()
        case "compare":
            node.ops[0] = _COMPARISONS[type(node.ops[0])]()
        case "mux":
            node.args[1], node.args[2] = node.args[2], node.args[1]
        case "invert":
            node.op = ast.UAdd()
            # `+x` is no operator of the hardware, but `x | 0` is.
            node.__class__ = ast.BinOp
            node._fields = ast.BinOp._fields
            node.left, node.op, node.right = node.operand, ast.BitOr(), ast.Constant(0)


def mutants(module: str, *, count: int | None = None, seed: int = 1) -> list[Mutant]:
    """All mutants of a module, or some of them, the same for the same seed."""
    source = (RTL / f"{module}.py").read_text()
    found = {}
    for kind, node in _sites(ast.parse(source)):
        text = " ".join((ast.get_source_segment(source, node) or "").split())
        mutant = Mutant(module, kind, node.lineno, node.col_offset, text[:100])
        found.setdefault(mutant.name, mutant)
    everything = sorted(found.values(), key=lambda m: (m.line, m.column, m.kind))
    if count is None or count >= len(everything):
        return everything
    chosen = random.Random(f"{seed} {module}").sample(everything, count)
    return sorted(chosen, key=lambda m: (m.line, m.column, m.kind))


def mutated(mutant: Mutant) -> ast.Module:
    """The module with the change."""
    tree = ast.parse((RTL / f"{mutant.module}.py").read_text())
    for kind, node in _sites(tree):
        if (kind, node.lineno, node.col_offset) == (mutant.kind, mutant.line, mutant.column):
            _change(kind, node)
            return ast.fix_missing_locations(tree)
    raise ValueError(f"Mutant must be one of {mutant.module}, not {mutant.name!r}")


def replaced(module: str, old: str, new: str) -> ast.Module:
    """The module with a text replaced that it contains exactly once."""
    source = (RTL / f"{module}.py").read_text()
    if source.count(old) != 1:
        raise ValueError(f"Module {module} must contain {old!r} once, not {source.count(old)} times")
    return ast.parse(source.replace(old, new))


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a changed module in the place of the real one, from `install` on."""

    def __init__(self, module: str, tree: ast.Module):
        self.name, self.path = f"systolith.{module}", RTL / f"{module}.py"
        self.tree = tree

    def install(self) -> None:
        """Must come before the module is imported."""
        if self.name in sys.modules:
            raise RuntimeError(f"{self.name} is imported already")
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self.path))

    def exec_module(self, module) -> None:
        module.__file__ = str(self.path)
        exec(compile(self.tree, str(self.path), "exec"), module.__dict__)
