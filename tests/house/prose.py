"""Docstrings: their first words, the words that stand for an unnamed subject, and shown calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from .checkout import Definition, Function, SourceFile

WHAT_WORDS = frozenset(
    {
        *("what", "whatever", "who", "whom", "whoever", "whose"),
        *("somebody", "someone", "nobody", "anybody", "anyone", "everybody", "everyone"),
        *("stranger", "strangers", "newcomer", "newcomers"),
    }
)
"""Subjects that cannot be grepped, and persons in the place of machines. Their possessives count too."""

WHAT_PHRASES = re.compile(r"\banother one's\b", re.IGNORECASE)
"""Counted beside the words."""

RIDDLES = frozenset({"what", "who", "which", "whose", "whoever", "how", "where"})
"""Words with which no docstring begins."""

WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")


def docstrings(file: SourceFile) -> Iterator[tuple[str, str]]:
    """Name and docstring of the module (an empty name) and of each class and function in it."""
    for name, node in [("", file.tree), *((d.name, d.node) for d in file.definitions)]:
        text = ast.get_docstring(node)
        if text is not None:
            yield name, text


def field_docstrings(file: SourceFile) -> Iterator[str]:
    """Strings that stand behind a field or a constant."""
    for node in ast.walk(file.tree):
        body: list[ast.stmt] = (
            getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef) else []
        )
        for before, after in pairwise(body):
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                if isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
                    yield after.value.value


def words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def what_words(text: str) -> int:
    """Count the WHAT_WORDS and WHAT_PHRASES in ``text``."""
    found = sum(word.removesuffix("'s") in WHAT_WORDS for word in words(text))
    return found + len(WHAT_PHRASES.findall(text))


def begins_with_a_riddle(text: str) -> bool:
    first = words(text.strip().split("\n")[0])[:1]
    return bool(first) and first[0].partition("'")[0] in RIDDLES


def parameters(definition: Definition) -> list[str]:
    """Names of a function's parameters without ``self`` and ``cls``."""
    assert isinstance(definition.node, Function)
    args = definition.node.args
    named = [*args.posonlyargs, *args.args]
    if definition.is_method and not _is_static(definition.node):
        named = named[1:]
    return [a.arg for a in (*named, *args.kwonlyargs, args.vararg, args.kwarg) if a is not None]


def _is_static(node: Function) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)


def shows_a_call(definition: Definition) -> bool:
    """Whether a docstring has an example: ``>>>``, ``Example``, or the function's own name followed by ``(``."""
    text = ast.get_docstring(definition.node) or ""
    own = rf"\b{re.escape(definition.node.name)}\("
    return ">>>" in text or re.search(r"\bExamples?\b", text) is not None or re.search(own, text) is not None


def is_command(definition: Definition) -> bool:
    """Tell a command of the command line: its ``--help`` shows the call."""
    assert isinstance(definition.node, Function)
    calls = (d.func for d in definition.node.decorator_list if isinstance(d, ast.Call))
    return any(isinstance(f, ast.Attribute) and f.attr in ("command", "callback") for f in calls)


class Contracts:
    """Methods that a protocol of the project documents: an implementation need not say the same again."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._protocols = [_methods(d.node) for file in files for d in file.classes if _is_protocol(d.node)]

    def cover(self, definition: Definition) -> bool:
        """Tell whether a method implements a documented one: its class has all methods of that protocol."""
        if not definition.is_method:
            return False
        own, name = _methods(definition.parent), definition.name.rpartition(".")[2]
        return any(p.get(name) and p.keys() <= own.keys() for p in self._protocols)


def _is_protocol(node: ast.AST) -> bool:
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in bases)


def _methods(node: ast.AST) -> dict[str, bool]:
    """By name: whether a class's method has a docstring."""
    body: list[ast.stmt] = getattr(node, "body", [])
    return {n.name: ast.get_docstring(n) is not None for n in body if isinstance(n, Function)}


NO_CONTRACTS = Contracts(())


def without_example(file: SourceFile, contracts: Contracts = NO_CONTRACTS) -> list[str]:
    """Name public functions and methods of more than two parameters whose docstring shows no call."""
    wanted = [d for d in file.functions if d.public and len(parameters(d)) > 2]
    wanted = [d for d in wanted if not is_command(d) and not contracts.cover(d)]
    return [f"{file.name}:{d.name}" for d in wanted if not shows_a_call(d)]


def without_docstring(file: SourceFile, contracts: Contracts = NO_CONTRACTS) -> list[str]:
    """Name public classes, functions and methods without a docstring; the module itself by its path alone."""
    missing = [
        f"{file.name}:{d.name}"
        for d in file.definitions
        if d.public and not ast.get_docstring(d.node) and not contracts.cover(d)
    ]
    return missing if ast.get_docstring(file.tree) or not file.text.strip() else [file.name, *missing]
