"""Rows of the settings reference, read from the settings' models and from the comments of config.example.yaml."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kvproxy.config import Config
from kvproxy.settings.byte_size import parse_bytes

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

_COMMENTED = re.compile(r"^(?P<lead>[ #-]*?)(?P<name>[a-z_]+):(?P<value>[^#]*?)(?:\s#\s?(?P<comment>.*))?$")
_MANY_EXAMPLES = "upstreams[]"
"""Entries with several examples, whose comments are about the example and not about the setting."""
_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting: its dotted name, its type and default as an operator writes them, and what it does."""

    name: str
    kind: str
    default: str
    about: str


def setting_rows(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[SettingRow]:
    """Yield every setting below ``model``, depth first, in the order of the models; a section itself is no row.

    Example: ``{row.name for row in setting_rows()} >= {"server.port", "fleets[].replicas[].url"}``
    """
    docs, comments = _docstrings(model), _comments()
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{name}"
        inner, many = _section_of(field.annotation)
        about = docs.get(name, "")
        alone = not get_args(field.annotation)  # no list of it, and no other type beside it
        if inner is not None and alone:
            yield from setting_rows(inner, f"{dotted}.")
            continue
        comment = "" if dotted.startswith(_MANY_EXAMPLES) else comments.get(dotted, "")
        told = (about or comment) if "[]" in dotted else (comment or about)
        yield SettingRow(dotted, kind_of(field.annotation, field), _default(dotted, field), _sentence(told))
        if inner is not None:
            yield from setting_rows(inner, f"{dotted}[]." if many else f"{dotted}.")


def kind_of(annotation: Any, field: FieldInfo | None = None) -> str:
    """Return a type as an operator thinks of it: ``size``, ``number, from 0``, ``list of …``, or words."""
    metadata = list(field.metadata) if field is not None else []
    while hasattr(annotation, "__metadata__"):
        metadata += list(annotation.__metadata__)
        annotation = annotation.__origin__
    if any(getattr(mark, "func", None) is parse_bytes for mark in metadata):
        return "size"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join("`null`" if a is type(None) else kind_of(a) for a in arguments) + _limits(metadata)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (tuple, frozenset, list):
        return f"list of {kind_of(arguments[0])}"
    if origin in (dict, Mapping):
        return "mapping of names"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _plain(annotation) + _limits(metadata)


def _plain(annotation: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _limits(metadata: list[Any]) -> str:
    """Return the bounds of a number, from pydantic's marks and from fields within annotations."""
    marks: list[Any] = []
    for mark in metadata:
        marks += mark.metadata if isinstance(mark, FieldInfo) else [mark]
    told = [
        f"{words} {getattr(mark, bound):g}"
        for bound, words in (("gt", "above"), ("ge", "from"), ("le", "to"), ("lt", "below"))
        for mark in marks
        if isinstance(getattr(mark, bound, None), int | float)
    ]
    return f", {' '.join(told)}" if told else ""


def _section_of(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that a field holds, and whether it holds many of it."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in get_args(annotation):
        inner, many = _section_of(argument)
        if inner is not None:
            return inner, many or get_origin(annotation) in (tuple, list)
    return None, False


def _default(dotted: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if dotted == "store.path":
        return "the user's data folder"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, frozenset | tuple | list):
        return f"`[{', '.join(sorted(map(_shown, value)) if isinstance(value, frozenset) else map(_shown, value))}]`"
    if kind_of(field.annotation, field).startswith("size") and isinstance(value, int):
        return f"`{_size(value)}`"
    return f"`{value}`" if value != "" else '`""`'


def _shown(value: object) -> str:
    """Return one entry of a list as YAML's short form has it."""
    if isinstance(value, BaseModel):
        given = value.model_dump(exclude_none=True)
        return "{" + ", ".join(f"{name}: {told}" for name, told in given.items()) + "}"
    return str(value)


def _sentence(text: str) -> str:
    """Return a description for people: with links to the pages that it names, and no bar, which ends a table's cell."""
    text = re.sub(r"\bdocs/([\w-]+)\.md", _link, text).replace("|", "\\|")
    return text.removesuffix(".").replace("None:", "`null`:")


def _link(page: re.Match[str]) -> str:
    there = (EXAMPLE.parent / page[0]).exists()
    return f"[{page[1]}](../{page[1]}.md)" if there else page[0]


def _size(value: int) -> str:
    for unit, name in _UNITS:
        if value and value % unit == 0:
            return f"{value // unit}{name}"
    return str(value)


def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the text below each field of a model's source, without code marks of reStructuredText."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).replace("``", "`").split())
    return found


def _comments() -> Mapping[str, str]:
    """Return the comment of each setting in config.example.yaml by its dotted name, entries of lists as ``[]``."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        match = _COMMENTED.match(line)
        if match is None:
            continue
        entry = "- " in match["lead"]
        depth = len(match["lead"].replace("#", " ")) if match["lead"].strip() else len(match["lead"])
        depth -= 2 if "#" in match["lead"] else 0
        while path and path[-1][0] >= depth:
            path.pop()
        if entry and path and not path[-1][1].endswith("[]"):
            path[-1] = (path[-1][0], f"{path[-1][1]}[]")
        path.append((depth, match["name"]))
        if match["comment"] and not match["comment"].startswith(("- ", "http")):
            found.setdefault(".".join(name for _, name in path), match["comment"].strip())
    return found
