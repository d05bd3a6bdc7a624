"""Every Python example compiles, and imports names that are there."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, Snippet, fenced, name_of

INTEGRATIONS = [folder for folder in (ROOT / "integrations").iterdir() if folder.is_dir()]


def examples(page: Path) -> Iterator[Snippet]:
    yield from (snippet for snippet in fenced(page) if snippet.language in ("python", "py"))


def imported(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Each module that is imported, with each name of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def missing(module: str, name: str | None) -> bool:
    """Whether a module or its name is not there; packages of others that are not installed here count as there."""
    for folder in INTEGRATIONS:
        source = folder.joinpath(*module.split("."), "__init__.py")
        if source.exists():
            return name is not None and name not in exported(source)
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return False
    try:
        found = importlib.import_module(module)
    except ImportError:
        return True
    return (
        name is not None and not hasattr(found, name) and importlib.util.find_spec(f"{module}.{name}") is None
    )


def exported(source: Path) -> set[str]:
    """The names of ``__all__`` in a package's source."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("page", [page for page in PAGES if any(examples(page))], ids=name_of)
def test_examples_compile_and_import_what_is_there(page: Path) -> None:
    for snippet in examples(page):
        compile(snippet.text, snippet.where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        absent = [found for found in imported(ast.parse(snippet.text)) if missing(*found)]
        assert absent == [], snippet.where


def test_absent_names_are_noticed() -> None:
    assert missing("kvproxy", "Clint") and missing("kvproxy.gone", None)
    assert missing("langchain_kvproxy", "ChatGone") and not missing("langchain_kvproxy", "ChatKVProxy")
    assert not missing("kvproxy", "Client") and not missing("a_package_of_nobody", "x")
