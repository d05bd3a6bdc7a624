"""Findings about damage in a store: read while a proxy may be using it, and nothing changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from kvproxy.database.database import FILE_NAME
from kvproxy.documents.prepared.prepared_texts import damaged_texts
from kvproxy.documents.registry import old_registry_rescue
from kvproxy.documents.registry.old_registry_import import OLD_NAME
from kvproxy.documents.registry.registry_inspection import inspect_registry
from kvproxy.documents.registry.registry_losses import set_aside_in
from kvproxy.store.inspection import inspect_pages, inspect_responses
from kvproxy.store.store_folder import ASIDE
from kvproxy.terminal.finding import Finding

PAGES_READ = 2 * 2**30
"""Bytes of page files that are read and verified: some seconds. Of a larger store it is a random sample."""

_SHOWN = 3
_TEXTS = "prepared.sqlite3"


def store_findings(store: Path, *, pages_read: int = PAGES_READ) -> Iterator[Finding]:
    """Return a finding for each part of the store that is there, and for parts set aside. Blocks for seconds."""
    if (store / OLD_NAME).exists():
        yield from _guarded("documents", lambda: _documents(_old_faults(store / OLD_NAME)))
    elif (store / FILE_NAME).exists():
        yield from _guarded("documents", lambda: _documents(inspect_registry(store / FILE_NAME)))
    if (store / "pages").is_dir():
        yield from _guarded("pages", lambda: _pages(store / "pages", pages_read))
    if (store / "responses").is_dir():
        yield from _guarded("responses", lambda: _responses(store / "responses"))
    if (store / _TEXTS).exists():
        yield from _guarded("prepared texts", lambda: _texts(store / _TEXTS))
    if aside := set_aside(store):
        what = f"{len(aside)} from damage found earlier: {listed(aside)}"
        advice = "read report.txt there, restore what you need, then remove: until then pages of no document are kept"
        yield Finding("warn", "set aside", what, advice)


def set_aside(store: Path) -> list[str]:
    """Return the folders that a start set aside, relative to ``store``."""
    patterns = (f"pages/{ASIDE}*", f"responses/{ASIDE}*")
    found = [*set_aside_in(store), *(path for pattern in patterns for path in sorted(store.glob(pattern)))]
    return [path.relative_to(store).as_posix() for path in found]


def listed(faults: Sequence[str]) -> str:
    """Return the first few of many, in one line."""
    more = len(faults) - _SHOWN
    return "; ".join(" ".join(f.split()) for f in faults[:_SHOWN]) + (
        f"; and {more} more" if more > 0 else ""
    )


def _guarded(check: str, examine: Callable[[], Finding]) -> Iterator[Finding]:
    try:
        yield examine()
    except (OSError, sqlite3.Error, DBAPIError) as e:
        yield Finding(
            "warn", check, f"cannot be read: {e}", "run the doctor as the user that kvproxy runs as"
        )


def _old_faults(path: Path) -> list[str]:
    return old_registry_rescue.faults(path)[len(old_registry_rescue.damage_reports(path)) :]


def _documents(faults: Sequence[str]) -> Finding:
    if not faults:
        return Finding("ok", "documents", "every row of the registry is what was written")
    advice = (
        "copy the store first: the next start recovers every version that can be verified, sets the file aside, and "
        "logs what was lost; publish that again"
    )
    return Finding("fail", "documents", listed(faults), advice)


def _pages(folder: Path, most: int) -> Finding:
    found = inspect_pages(folder, most)
    if found.faults:
        return Finding(
            "warn", "pages", listed(found.faults), "none is served: the next start makes them again"
        )
    return Finding("ok", "pages", f"{found.verified} of {found.count} read, all sound")


def _responses(folder: Path) -> Finding:
    found = inspect_responses(folder)
    if found.faults:
        advice = "none is served: who continues from one gets an error and sends the whole conversation"
        return Finding("warn", "responses", listed(found.faults), advice)
    return Finding("ok", "responses", f"{found.count} stored, all sound")


def _texts(path: Path) -> Finding:
    if faults := damaged_texts(path):
        return Finding(
            "warn", "prepared texts", listed(faults), "nothing to do: a cache, made anew as it is needed"
        )
    return Finding("ok", "prepared texts", "all sound")
