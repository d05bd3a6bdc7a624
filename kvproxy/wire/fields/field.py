"""One row of the field table: a field's path in the body, and its treatment here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from kvproxy.errors import UnsupportedParameter

Neutral = Callable[[Any], bool]


class Sort(StrEnum):
    """The treatment of a field. The list is closed. Null asks for nothing and passes everywhere."""

    ENFORCED = "enforced"
    HINT = "harmless"
    """The answer without it is an answer to the same question: never refused, for any value or shape."""
    NEUTRAL = "harmless in some values"
    """All other values are refused: the answer would be another one."""
    REFUSED = "refused"
    WITHOUT = "answered without"
    """Named in the header ``x-kvproxy-left-out`` and in the log."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    ``path``: names with ``.`` between them; behind the name of a list, ``[]`` for each of its items, or ``[type]`` for
    those of a type, which may hold ``*``.
    """

    path: str
    sort: Sort
    says: str = ""
    """The treatment in words; of a refused value, the reason."""
    passes: Neutral | None = None
    """True for values that ask for nothing here."""
    values: str = ""
    """Those values in words."""
    whole: bool = False
    """The row speaks for everything inside of the field too."""
    hosted: bool = False
    """It is refused where the policy is to refuse hosted tools."""
    error: type[UnsupportedParameter] = UnsupportedParameter
    example: Any = None
    """A value that does not pass: for tests."""

    @property
    def acts(self) -> bool:
        """Return whether ``screen`` checks the field; other rows are their parser's."""
        return self.passes is not None

    def covers(self, path: str) -> bool:
        """Return whether this row is for ``path``: for the same field, or with ``whole`` for one inside of it."""
        own, theirs = steps_of(self.path), steps_of(path)
        if len(own) > len(theirs) or (len(own) < len(theirs) and not self.whole):
            return False
        *_, last = own
        return all(
            _covers(mine, other, list_too=self.whole and mine is last)
            for mine, other in zip(own, theirs, strict=False)
        )


@dataclass(frozen=True, slots=True)
class PathStep:
    """One name of a path, with the types of its items where it is a list."""

    name: str
    items: str | None = None
    """The pattern of the types of the list's items; None: the value itself."""


def steps_of(path: str) -> Sequence[PathStep]:
    """Return the steps of a path."""
    steps: list[PathStep] = []
    for piece in path.split("."):
        name, bracket, rest = piece.partition("[")
        steps.append(PathStep(name, rest.removesuffix("]") if bracket else None))
    return steps


def fits(pattern: str, type: object) -> bool:
    """Return whether an item of this type matches a step's ``items``."""
    return pattern == "" or (isinstance(type, str) and fnmatchcase(type, pattern))


def _covers(mine: PathStep, other: PathStep, *, list_too: bool) -> bool:
    """Return whether one step covers another. ``list_too``: a row of a list as a whole speaks for its items."""
    if mine.name != other.name:
        return False
    if mine.items is None or other.items is None:
        return mine.items == other.items or (list_too and mine.items is None)
    return fits(mine.items, other.items)


def enforced(path: str, says: str = "", *, whole: bool = False) -> Field:
    """Make the row of a field that is honoured. Example: ``enforced("temperature", "0 is greedy")``."""
    return Field(path, Sort.ENFORCED, says, whole=whole)


def hint(path: str, says: str = "", *, whole: bool = True) -> Field:
    """Make the row of a harmless field. Example: ``hint("service_tier", "there is one")``."""
    return Field(path, Sort.HINT, says, whole=whole)


def neutral(path: str, passes: Neutral, values: str, says: str, *, example: Any, whole: bool = True) -> Field:
    """Make the row of a field that is harmless in the values that ``passes`` accepts, and refused otherwise.

    Example: ``neutral("n", number(1), "1", "a response is one answer", example=2)``.
    """
    return Field(path, Sort.NEUTRAL, says, passes, values, whole=whole, example=example)


def refused(path: str, says: str, passes: Neutral, *, example: Any, whole: bool = True) -> Field:
    """Make the row of a field that is refused unless ``passes`` accepts its value.

    Example: ``refused("suffix", "the model does not fill in between", empty, example="end")``.
    """
    return Field(path, Sort.REFUSED, says, passes, whole=whole, example=example)


def without(
    path: str, says: str, passes: Neutral | None = None, *, hosted: bool = False, example: Any = None
) -> Field:
    """Make the row of a field that is left out and named in a header. Without ``passes`` a parser leaves it out.

    Example: ``without("mcp_servers", HOSTED, empty, hosted=True, example=[{"type": "url"}])``.
    """
    return Field(path, Sort.WITHOUT, says, passes, whole=True, hosted=hosted, example=example)
