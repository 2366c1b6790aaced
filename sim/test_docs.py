"""The documentation: what is generated is up to date, links lead somewhere, tests that are named exist."""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

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


def test_named_tests_exist():
    text = (ROOT / "docs" / "verification.md").read_text()
    named = set(re.findall(r"`(\w+/\w+\.py)::(\w+)`", text))
    assert len(named) > 50
    for name, function in sorted(named):
        tree = ast.parse((ROOT / name).read_text())
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function in functions, f"verification.md names {name}::{function}, which does not exist"
