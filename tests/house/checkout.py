"""`Checkout`: the Python files of one working tree, each read and parsed once."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

NOT_SOURCE = {"tests", "examples", "build", "dist"}
"""Folders of an integration that are not its package."""


@dataclass(frozen=True)
class Definition:
    """A class or function with its dotted name inside its file; ``parent`` is the node around it."""

    name: str
    node: ast.ClassDef | Function
    parent: Documented

    @property
    def is_method(self) -> bool:
        return isinstance(self.node, Function) and isinstance(self.parent, ast.ClassDef)

    @property
    def lines(self) -> int:
        """From the line of ``def`` to the last line of the body, docstring and signature included."""
        assert self.node.end_lineno is not None
        return self.node.end_lineno - self.node.lineno + 1

    @property
    def code_lines(self) -> int:
        """Count the lines without the docstring: a limit must not make documentation shorter."""
        first = self.node.body[0]
        assert first.end_lineno is not None
        documented = ast.get_docstring(self.node) is not None
        return self.lines - (first.end_lineno - first.lineno + 1 if documented else 0)

    @property
    def public(self) -> bool:
        """Whether no part of the name begins with an underscore and no function is around it."""
        inside = self.parent if isinstance(self.parent, Function) else None
        return inside is None and not any(part.startswith("_") for part in self.name.split("."))


@dataclass(frozen=True)
class SourceFile:
    """One Python file. ``path`` is relative to the checkout."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.name)

    @cached_property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def dotted(self) -> str:
        """``kvproxy/store/disk.py`` is ``kvproxy.store.disk``; an ``__init__.py`` is its package. The two folders
        that an integration lies in are no part of its modules' names."""
        parts = self.path.with_suffix("").parts
        own = parts[2:] if parts[0] == "integrations" else parts
        return ".".join(own).removesuffix(".__init__")

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @cached_property
    def definitions(self) -> list[Definition]:
        """Classes and functions at every depth, outer ones first."""
        return list(_definitions(self.tree, ""))

    @property
    def statements(self) -> Iterator[ast.stmt]:
        """Every statement, in source order within its block; expressions are not gone into."""
        for scope in (self.tree, *(d.node for d in self.definitions)):
            yield from _statements(scope)

    @property
    def functions(self) -> list[Definition]:
        return [d for d in self.definitions if isinstance(d.node, Function)]

    @property
    def classes(self) -> list[Definition]:
        return [d for d in self.definitions if isinstance(d.node, ast.ClassDef)]


def _statements(parent: ast.AST) -> Iterator[ast.stmt]:
    """The statements inside ``parent`` at every depth; of the classes and functions there, not their bodies."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(parent, field, ()):
            if isinstance(node, ast.stmt):
                yield node
            if not isinstance(node, ast.ClassDef | Function):
                yield from _statements(node)


def _definitions(parent: Documented, prefix: str) -> Iterator[Definition]:
    for node in _statements(parent):
        if isinstance(node, ast.ClassDef | Function):
            yield Definition(prefix + node.name, node, parent)
            yield from _definitions(node, f"{prefix}{node.name}.")


class Checkout:
    """The source and tests of this project under ``root``: any commit of it, in any layout.

    Example: ``Checkout(Path(".")).files("kvproxy")``
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files: dict[Path, SourceFile] = {}

    def files(self, folder: str, *, skip: Iterable[str] = ()) -> list[SourceFile]:
        """The files under ``folder``, sorted by path; ``skip`` names folders to leave out."""
        left_out = {*skip, "__pycache__", "node_modules"}
        return [
            self._file(path)
            for path in sorted((self.root / folder).rglob("*.py"))
            if left_out.isdisjoint(path.relative_to(self.root / folder).parts)
        ]

    @cached_property
    def packages(self) -> dict[str, list[SourceFile]]:
        """Source files by package: ``kvproxy`` and each folder of ``integrations``."""
        names = sorted(path.parent.name for path in (self.root / "integrations").glob("*/pyproject.toml"))
        integrations = {f"integrations/{n}": self.files(f"integrations/{n}", skip=NOT_SOURCE) for n in names}
        return {"kvproxy": self.files("kvproxy"), **integrations}

    @cached_property
    def tests(self) -> list[SourceFile]:
        """Tests of the proxy and of the integrations."""
        folders = [f"{name}/tests" for name in self.packages if name != "kvproxy"]
        return [file for folder in ("tests", *folders) for file in self.files(folder)]

    def _file(self, path: Path) -> SourceFile:
        if path not in self._files:
            self._files[path] = SourceFile(path.relative_to(self.root), path.read_text(encoding="utf-8"))
        return self._files[path]


def here() -> Checkout:
    """The checkout that these files are part of."""
    return Checkout(Path(__file__).parents[2])
