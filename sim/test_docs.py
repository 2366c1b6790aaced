"""The documentation: what is generated is up to date, links lead somewhere, tests that are named exist."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from systolith_formal.proofs import PROOFS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def load(path):
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@cache
def anchors(path):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def test_generated_files_are_up_to_date():
    assert load(ROOT / "scripts" / "generate_docs.py").stale_files() == []


def test_stale_and_missing_files_are_found(tmp_path):
    generator = load(ROOT / "scripts" / "generate_docs.py")
    generator.write_files(tmp_path)
    assert generator.stale_files(tmp_path) == []
    page = tmp_path / "commands.md"
    page.write_text(page.read_text().replace("LOAD", "LAOD", 1))
    (tmp_path / "figures" / "blocks.svg").unlink()
    assert generator.stale_files(tmp_path) == ["commands.md", "figures/blocks.svg"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(page):
    text = _FENCE.sub("", page.read_text())
    for target in _LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(path), f"{page.name} links to {target}, but there is no such heading"


_PROOF = re.compile(r"`formal:(\w+)`")
_TEST = re.compile(r"`(\w+/\w+\.py)::(\w+)`")


def plan_rows(text):
    """Rows of the tables of the verification plan: (what can go wrong, what shows that it does not)."""
    rows = []
    for header, body in re.findall(r"^(\| feature .*)\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        assert header.split(" | ")[-1].strip(" |") == "test"
        rows += [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
    return rows


def untested(rows):
    """Features of the plan with an empty cell or without a test or proof."""
    return [row[0] for row in rows
            if len(row) != 3 or not all(row) or not (_TEST.search(row[-1]) or _PROOF.search(row[-1]))]


def test_every_row_of_the_plan_names_a_test():
    rows = plan_rows((ROOT / "docs" / "verification.md").read_text())
    assert len(rows) > 60
    assert untested(rows) == []


def test_a_row_without_a_test_is_found():
    rows = plan_rows("| feature | what can go wrong | test |\n| --- | --- | --- |\n| a | b | `sim/test_docs.py::test_links` |\n"
                     "| c | d |  |\n| e |  | `sim/test_docs.py::test_links` |\n| f | g | by eye |\n")
    assert untested(rows) == ["c", "e", "f"]


@cache
def functions(name):
    """Names of the functions of a Python file of the repository."""
    return {node.name for node in ast.walk(ast.parse((ROOT / name).read_text())) if isinstance(node, ast.FunctionDef)}


def test_named_tests_exist():
    text = (ROOT / "docs" / "verification.md").read_text()
    named = set(_TEST.findall(text))
    assert len(named) > 50
    for name, function in sorted(named):
        assert function in functions(name), f"verification.md names {name}::{function}, which does not exist"


def test_named_proofs_exist():
    named = set(_PROOF.findall((ROOT / "docs" / "verification.md").read_text())) - {"name"}
    assert len(named) > 15
    assert named <= {proof.name for proof in PROOFS}
