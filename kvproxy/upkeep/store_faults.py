"""`StoreFault` and `StoreCheck`: what a check of a store found, a line for each. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class StorePart(StrEnum):
    """The parts of a store: a closed list."""

    DATABASE = "database"
    DOCUMENTS = "documents"
    ALIASES = "aliases"
    MANIFESTS = "manifests"
    PAGES = "pages"
    OBJECTS = "objects"
    PREPARED = "prepared texts"
    RESPONSES = "responses"
    ASIDE = "set aside"


Mending = Literal[
    "drop and recompute", "drop", "rebuild", "forget with a report", "sign again", "restore a backup", "look"
]
"""The repair of a fault; ``restore a backup`` and ``look`` are a person's to do."""


@dataclass(frozen=True, slots=True)
class StoreFault:
    """One thing that is not as it was written."""

    part: StorePart
    what: str
    mending: Mending
    key: bytes | None = None
    """The page's key in the page store, for a page."""

    @property
    def line(self) -> str:
        """One line of text."""
        what = " ".join(self.what.split())
        return f"{self.part}: {what} ({self.mending})"


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """The findings of a check. ``notes`` are no faults: pages that made room, and pages of no document."""

    faults: tuple[StoreFault, ...]
    notes: tuple[str, ...] = ()
    looked: Mapping[str, int] = field(default_factory=dict)
    """Counts of what was looked at: documents, pages, pages read, objects read, responses."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def bad_pages(self) -> tuple[bytes, ...]:
        """The keys of all pages that must not be used."""
        return tuple(
            dict.fromkeys(f.key for f in self.faults if f.key is not None and f.part is StorePart.PAGES)
        )


def joined(checks: Iterable[StoreCheck]) -> StoreCheck:
    """Return the findings of several checks of different parts as one."""
    faults: list[StoreFault] = []
    notes: list[str] = []
    looked: dict[str, int] = {}
    for check in checks:
        faults += check.faults
        notes += check.notes
        looked |= check.looked
    return StoreCheck(tuple(dict.fromkeys(faults)), tuple(notes), looked)


def of_lines(part: StorePart, lines: Sequence[str], mending: Mending) -> StoreCheck:
    """Return lines of another checker as faults of one part.

    Example: ``of_lines(StorePart.RESPONSES, inspect_responses(folder).faults, "drop")``
    """
    return StoreCheck(tuple(StoreFault(part, line, mending) for line in lines))
