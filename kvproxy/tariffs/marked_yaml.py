"""YAML with the line of each value, for faults that name it. Scalars stay text, so that no number turns binary."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

T = TypeVar("T")


class LineFault(ValueError):
    """A fault in one line of a file."""

    def __init__(self, node: Node, message: str) -> None:
        self.line: int = node.start_mark.line + 1
        super().__init__(f"line {self.line}: {message}")


class LineFaults(ValueError):
    """All faults of a file, each with its line."""

    def __init__(self, faults: Collection[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


def compose(path: Path) -> Node:
    """Read a file of one YAML document. Raises ValueError, with the line where there is one, and OSError."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as e:
        raise ValueError(f"it is not valid YAML: {e}") from e
    if node is None:
        raise ValueError("it is empty")
    return node


def mapping(node: Node, known: Collection[str] | None, what: str) -> dict[str, Node]:
    """Return the values of a mapping by name; empty ones are left out. ``known`` None allows every name.

    Raises LineFault for an unknown name, one that stands twice, and what is no mapping.

    Example: ``mapping(node, ("input", "output"), "the prices of a model")``
    """
    if not isinstance(node, MappingNode):
        raise LineFault(node, f"{what} must be a mapping of names to values")
    found: dict[str, Node] = {}
    for key, value in node.value:
        name = text(key, "a name")
        if known is not None and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise LineFault(key, f"unknown name '{name[:40]}' in {what}; {hint}")
        if name in found:
            raise LineFault(key, f"'{name[:40]}' stands twice in {what}")
        if not is_empty(value):
            found[name] = value
    return found


def is_empty(node: Node) -> bool:
    """Tell a value that was left out: nothing, ``~`` or ``null``, not in quotes."""
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def sequence(node: Node, what: str) -> list[Node]:
    """Return the entries of a list. Raises LineFault for anything else."""
    if not isinstance(node, SequenceNode):
        raise LineFault(node, f"{what} must be a list")
    return list(node.value)


def text(node: Node, what: str) -> str:
    """Return a value as it is written, without its quotes. Raises LineFault for a list or a mapping."""
    if not isinstance(node, ScalarNode):
        raise LineFault(node, f"{what} must be one text")
    return str(node.value)


def parsed(node: Node, parse: Callable[[str], T], what: str) -> T:
    """Return ``parse`` of a value's text. Raises LineFault with the message of its ValueError.

    Example: ``parsed(node, parse_nano, "input")``
    """
    try:
        return parse(text(node, what))
    except LineFault:
        raise
    except ValueError as e:
        raise LineFault(node, f"{what}: {e}") from e


def needed(found: Mapping[str, Node], name: str, of: Node) -> Node:
    """Return the value of ``name``. Raises LineFault where it is missing.

    Example: ``needed(entry, "valid_from", node)``
    """
    if name not in found:
        raise LineFault(of, f"'{name}' is missing")
    return found[name]
