"""One row of the table: a field's path in the body, and what becomes of it here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from kvproxy.errors import UnsupportedParameter

Neutral = Callable[[Any], bool]


class Sort(StrEnum):
    """The list is closed. Null asks for nothing and passes everywhere."""

    ENFORCED = "enforced"
    HINT = "harmless"
    """The answer without it is an answer to the same question: never refused, whatever its value or shape."""
    NEUTRAL = "harmless in some values"
    """All other values are refused: the answer would be another one."""
    REFUSED = "refused"
    WITHOUT = "answered without"
    """Named in the header ``x-kvproxy-left-out`` and in the log."""


@dataclass(frozen=True, slots=True)
class Field:
    """``path``: names with ``.`` between them; behind the name of a list, ``[]`` for each of its items, or ``[type]``
    for those of a type, which may hold ``*``."""

    path: str
    sort: Sort
    says: str = ""
    """The words that say what becomes of it; of a refused value, why."""
    passes: Neutral | None = None
    """Values that ask for nothing here."""
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
        """Whether ``screen`` looks at it; other rows are their parser's."""
        return self.passes is not None

    def covers(self, path: str) -> bool:
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
    name: str
    items: str | None = None
    """The pattern that names items of the list that is there; None: the value itself."""


def steps_of(path: str) -> Sequence[PathStep]:
    steps: list[PathStep] = []
    for piece in path.split("."):
        name, bracket, rest = piece.partition("[")
        steps.append(PathStep(name, rest.removesuffix("]") if bracket else None))
    return steps


def fits(pattern: str, type: object) -> bool:
    """Whether an item of this type is among those that a step's ``items`` name."""
    return pattern == "" or (isinstance(type, str) and fnmatchcase(type, pattern))


def _covers(mine: PathStep, other: PathStep, *, list_too: bool) -> bool:
    """``list_too``: a row of a list as a whole speaks for its items."""
    if mine.name != other.name:
        return False
    if mine.items is None or other.items is None:
        return mine.items == other.items or (list_too and mine.items is None)
    return fits(mine.items, other.items)


def enforced(path: str, says: str = "", *, whole: bool = False) -> Field:
    return Field(path, Sort.ENFORCED, says, whole=whole)


def hint(path: str, says: str = "", *, whole: bool = True) -> Field:
    return Field(path, Sort.HINT, says, whole=whole)


def neutral(path: str, passes: Neutral, values: str, says: str, *, example: Any, whole: bool = True) -> Field:
    return Field(path, Sort.NEUTRAL, says, passes, values, whole=whole, example=example)


def refused(path: str, says: str, passes: Neutral, *, example: Any, whole: bool = True) -> Field:
    return Field(path, Sort.REFUSED, says, passes, whole=whole, example=example)


def without(
    path: str, says: str, passes: Neutral | None = None, *, hosted: bool = False, example: Any = None
) -> Field:
    """Without ``passes`` it is a parser that leaves it out."""
    return Field(path, Sort.WITHOUT, says, passes, whole=True, hosted=hosted, example=example)
