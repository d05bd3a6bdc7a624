"""Every field that an SDK's request types declare, as paths: ``tools[web_search].filters``.

The items of a list are told apart by their ``type``, where that is a literal. Runs in the clients' environments too, as
a program that prints the paths of each type named on its command line (``module:name``) as JSON.
"""

from __future__ import annotations

import collections.abc
import importlib
import json
import sys
import typing
from collections.abc import Iterator
from typing import Any

import typing_extensions

_MARKS = (typing_extensions.Required, typing_extensions.NotRequired, typing.Required, typing.NotRequired)
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence)


def declared(name: str) -> set[str]:
    """Paths of the TypedDict ``module:name``. What holds itself is walked once."""
    module, _, kind = name.partition(":")
    return set(_paths(getattr(importlib.import_module(module), kind), "", ()))


def _paths(kind: Any, path: str, inside: tuple[Any, ...]) -> Iterator[str]:
    kind = _bare(kind)
    if typing_extensions.is_typeddict(kind):
        if kind in inside:
            return
        for field, hint in typing.get_type_hints(kind, include_extras=True).items():
            below = f"{path}.{field}" if path else field
            yield below
            yield from _paths(hint, below, (*inside, kind))
    elif _is_list(kind):
        for member in _members(typing.get_args(kind)[0]):
            for type in _types(member):
                yield from _paths(member, f"{path}[{type}]", inside)
    elif not _is_mapping(kind):
        for member in typing.get_args(kind):
            yield from _paths(member, path, inside)


def _bare(kind: Any) -> Any:
    while typing.get_origin(kind) in (*_MARKS, typing.Annotated):
        kind = typing.get_args(kind)[0]
    return kind


def _is_list(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return origin in _LISTS or getattr(kind, "__name__", "") == "SequenceNotStr"


def _is_mapping(kind: Any) -> bool:
    return typing.get_origin(kind) in (dict, collections.abc.Mapping)


def _members(kind: Any) -> Iterator[Any]:
    """The alternatives of a union, flat."""
    kind = _bare(kind)
    if (
        typing_extensions.is_typeddict(kind)
        or _is_list(kind)
        or _is_mapping(kind)
        or not typing.get_args(kind)
    ):
        yield kind
    else:
        for member in typing.get_args(kind):
            yield from _members(member)


def _types(member: Any) -> list[str]:
    """The values that an item's ``type`` may have; an empty text where it has none of its own."""
    if not typing_extensions.is_typeddict(member):
        return [""]
    hint = _bare(typing.get_type_hints(member, include_extras=True).get("type", str))
    found = [type for type in _literals(hint) if isinstance(type, str)]
    return found or [""]


def _literals(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) in (typing.Literal, typing_extensions.Literal):
        yield from typing.get_args(hint)
    else:
        for member in typing.get_args(hint):
            yield from _literals(_bare(member))


if __name__ == "__main__":
    sys.stdout.write(json.dumps({name: sorted(declared(name)) for name in sys.argv[1:]}))
