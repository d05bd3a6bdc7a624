"""`StoreView`: the page store's tiers, its quarantine and its last check, as an admin may see them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kvproxy.core import NAMEABLE_ID
from kvproxy.telemetry.store_state import StoreState, TierState
from kvproxy.upkeep.live_upkeep import EndedCheck

LINES = 200
"""Lines of one list of findings that are shown."""
_NAMED = re.compile(rf"{NAMEABLE_ID}@[A-Za-z0-9][A-Za-z0-9._-]*")
"""A document version, or an alias, in a line of findings."""
_LOST = re.compile(rf"{NAMEABLE_ID}(?: of \S+)?(?= has lost its row)")
"""A document without a version, of which the registry's row is lost: whose it was is not known any more."""
_HIDDEN = "(a document of another tenant)"
_WORDS = {"memory": "Memory", "disk": "Local disk", "objects": "Object store"}

MayName = Callable[[str], bool]
"""Whether the caller may see the document version of this name."""


@dataclass(frozen=True, slots=True)
class TierRow:
    """One tier."""

    words: str
    state: TierState
    used: float | None
    """The part of the budget, 0 to 1; None without a budget."""


@dataclass(frozen=True, slots=True)
class QuarantinedDocument:
    """A document version whose pages are not used."""

    document: str | None
    """None for a private one of another tenant."""
    since: float | None
    """Unix seconds; None: since before this process's start."""
    reason: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The last check in lines; private documents of others are not named."""

    at: float
    seconds: float
    deep: bool
    sound: bool
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    looked: tuple[tuple[str, int], ...]
    left_out: int
    """Lines beyond those that are shown."""


@dataclass(frozen=True, slots=True)
class StoreView:
    """The page store of this process."""

    state: StoreState | None
    """None in a process without a page store."""
    tiers: tuple[TierRow, ...]
    quarantine: tuple[QuarantinedDocument, ...]
    quarantined: int
    """Versions in quarantine; the table shows the first."""
    damage: tuple[str, ...]
    """Losses of earlier repairs, whose folders somebody must look at."""
    damaged: int
    last: CheckResult | None
    running: bool
    """True while a check or a repair runs."""


def tier_rows(state: StoreState) -> tuple[TierRow, ...]:
    """Return the tiers, the nearest first."""
    return tuple(
        TierRow(
            _WORDS[tier.name],
            tier,
            None if tier.budget is None or tier.size is None else min(1.0, tier.size / max(1, tier.budget)),
        )
        for tier in state.tiers
    )


def check_result(last: EndedCheck, may_name: MayName) -> CheckResult:
    """Return a check as lines.

    Example: ``check_result(upkeep.last, lambda name: name in visible)``
    """
    faults = [veiled(fault.line, may_name) for fault in last.found.faults[:LINES]]
    notes = [veiled(note, may_name) for note in last.found.notes[:LINES]]
    left_out = len(last.found.faults) + len(last.found.notes) - len(faults) - len(notes)
    looked = tuple(sorted(last.found.looked.items()))
    return CheckResult(
        last.at, last.seconds, last.deep, last.found.sound, tuple(faults), tuple(notes), looked, left_out
    )


def damage_lines(reports: Sequence[str], may_name: MayName) -> tuple[str, ...]:
    """Return the first lines of reports of damage.

    Example: ``damage_lines(registry.damage_reports(), may_name)``
    """
    return tuple(veiled(line, may_name) for line in reports[:LINES])


def veiled(line: str, may_name: MayName) -> str:
    """Return a line of findings without the names of documents that the caller may not see.

    Example: ``veiled("handbook@3: 2 pages are not on disk", lambda name: False)``
    """
    named = _NAMED.sub(lambda found: found[0] if may_name(found[0]) else _HIDDEN, line)
    return _LOST.sub(_HIDDEN, named)
