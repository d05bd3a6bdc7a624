"""`repair_store`: mends a store that no process uses, and says what it did and what is left to a person.

Nothing is guessed. What fails its checksums is dropped, and pages are computed again by the next start; rows that can
be verified stay; damaged ones are set aside with a report. A text that can be verified is never lost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from kvproxy.documents.prepared.prepared_texts import drop_damaged_texts
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import KVProxyError, SetupError
from kvproxy.store.disk import PageDisk
from kvproxy.store.index_rescue import copy_sealed_records, list_page_files
from kvproxy.store.page_store import PageStore
from kvproxy.store.store_folder import Rescue, hold_folder, rebuild_index
from kvproxy.store.stored_responses import FileResponses
from kvproxy.upkeep.check_store import PREPARED_FILE
from kvproxy.upkeep.store_faults import StoreCheck, StoreFault, StorePart


@dataclass(frozen=True, slots=True)
class RepairParts:
    """Functions that open the parts of a store for a repair. ``registry`` recovers a damaged database first, and
    raises SetupError where that cannot be done."""

    registry: Callable[[], AbstractContextManager[Registry]]
    pages: Callable[[], AbstractContextManager[PageStore]]
    responses: Callable[[], AbstractContextManager[FileResponses]]
    check: Callable[[], StoreCheck]
    responses_ttl_s: float


@dataclass(frozen=True, slots=True)
class StoreRepair:
    """The result of a repair."""

    mended: tuple[StoreFault, ...]
    left: tuple[StoreFault, ...]
    notes: tuple[str, ...]
    """Lines on the work done, and on what a person may want to know: folders with what was set aside."""


def repair_store(folder: Path, parts: RepairParts) -> StoreRepair:
    """Mend every part of a store. Blocking.

    Raises SetupError where another process uses the store.

    Example: ``repair_store(config.store.path, parts)``
    """
    with hold_folder(folder):
        before = parts.check()
        notes = _rebuild_indexes(folder, before, parts.responses_ttl_s)
    with parts.pages() as pages:  # opening it removes files of no page
        notes += _mend_registry(parts, pages)
        if bad := before.bad_pages:
            notes.append(f"{pages.delete(bad)} pages dropped; the next start computes them again")
        if (folder / PREPARED_FILE).exists() and _touches(before, StorePart.PREPARED):
            drop_damaged_texts(folder / PREPARED_FILE)
            notes.append("prepared texts are made anew by the next start")
        if (folder / "responses").is_dir():
            with parts.responses() as responses:
                if dropped := responses.drop_damaged():
                    notes.append(f"{dropped} stored responses dropped")
        after = parts.check()
    still = set(after.faults)
    mended = tuple(fault for fault in before.faults if fault not in still)
    return StoreRepair(mended, after.faults, (*notes, *after.notes))


def _rebuild_indexes(folder: Path, before: StoreCheck, ttl_s: float) -> list[str]:
    """List pages and records anew from the files and the digests themselves, where an index cannot be trusted."""
    pages, responses = folder / "pages", folder / "responses"
    rescues: dict[StorePart, tuple[Path, Rescue]] = {
        StorePart.PAGES: (pages, lambda cache, _: list_page_files(cache, pages)),
        StorePart.RESPONSES: (responses, lambda cache, old: copy_sealed_records(cache, old, ttl_s)),
    }
    notes = []
    for part, (where, rescue) in rescues.items():
        if any(fault.part is part and fault.mending == "rebuild" for fault in before.faults):
            try:
                notes.append(f"the index of {part} is rebuilt: {rebuild_index(where, PageDisk, rescue)}")
            except (OSError, sqlite3.Error) as e:
                notes.append(f"the index of {part} cannot be rebuilt: {e}")
    return notes


def _mend_registry(parts: RepairParts, pages: PageStore) -> Sequence[str]:
    """Set damaged rows aside, drop aliases of nothing, and pages of no document where no document was lost."""
    notes: list[str] = []
    try:
        with parts.registry() as registry:
            entries = registry.load()
            there = {(entry.document.ref.name, entry.document.version) for entry in entries}
            for alias in registry.aliases():
                if (alias.name, alias.version) not in there:
                    registry.set_alias(alias.name, alias.alias, None)
                    notes.append(f"alias '{alias.alias}' of a version that is gone is removed")
            if registry.damage_reports():
                notes.append("pages of no document are kept while something is set aside: it may need them")
            elif orphans := pages.collect(registry.page_keys()):
                notes.append(f"{orphans} pages of no document removed")
    except SetupError as e:
        notes.append(e.message)
    except KVProxyError as e:
        notes.append(f"the registry is not mended: {e.message}")
    return notes


def _touches(check: StoreCheck, part: StorePart) -> bool:
    return any(fault.part is part for fault in check.faults)
