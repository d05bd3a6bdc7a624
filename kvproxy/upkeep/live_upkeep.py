"""`LiveUpkeep`: check and repair beside a running proxy, which goes on serving."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from kvproxy.documents.registry.registry import Registry
from kvproxy.documents.registry.registry_losses import damage_reports
from kvproxy.store.response_store import ResponseStore
from kvproxy.store.stored_pages import StoredPages
from kvproxy.upkeep.check_store import check_store
from kvproxy.upkeep.registry_snapshot import read_snapshot
from kvproxy.upkeep.repair_store import StoreRepair
from kvproxy.upkeep.store_faults import StoreCheck, StorePart, joined, of_lines

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveParts:
    """The parts of a running proxy that a check looks at."""

    folder: Path
    registry: Registry
    pages: StoredPages
    responses: ResponseStore
    jwks: Callable[[], Mapping[str, Any]]
    """Returns the host's public keys."""
    engine: Callable[[], Awaitable[list[str]]]
    """Returns the faults of the pages in memory."""
    recompute: Callable[[], Awaitable[int]]
    """Looks for missing pages of documents, begins to compute them in the background, and returns how many prefixes
    need it."""


@dataclass(frozen=True, slots=True)
class EndedCheck:
    """The last check of a running proxy."""

    at: float
    """Its end, in Unix seconds."""
    seconds: float
    deep: bool
    found: StoreCheck


class LiveUpkeep:
    """One check or repair at a time. Event loop; files are read on a thread.

    Example:
        ``found = await LiveUpkeep(parts).check()``
    """

    def __init__(self, parts: LiveParts) -> None:
        """Take the running proxy's parts."""
        self._parts = parts
        self._one = asyncio.Lock()
        self.last: EndedCheck | None = None
        """The last check since the start, a repair's included."""

    @property
    def running(self) -> bool:
        """True while a check or a repair runs; another one waits for its end."""
        return self._one.locked()

    def damage_reports(self) -> list[str]:
        """Return a line for each loss of an earlier repair, until somebody removes its folder. Blocking."""
        return damage_reports(self._parts.folder)

    async def check(self, *, deep: bool = False) -> StoreCheck:
        """Check everything, and change nothing. Pages are a random choice of up to 2 GiB without ``deep``."""
        async with self._one:
            return await self._check(deep=deep)

    async def repair(self) -> StoreRepair:
        """Drop damaged pages and responses, remove aliases of nothing, and compute missing pages again in the
        background. Damaged rows of the registry, and a damaged index, need a start."""
        async with self._one:
            before = await self._check(deep=True)
            notes = await asyncio.to_thread(self._mend, before)
            if number := await self._parts.recompute():
                notes.append(f"{number} prefixes are computed again in the background")
            after = await self._check(deep=True)
        still = set(after.faults)
        mended = tuple(fault for fault in before.faults if fault not in still)
        return StoreRepair(mended, after.faults, (*notes, *after.notes))

    async def _check(self, *, deep: bool) -> StoreCheck:
        began = time.perf_counter()
        found = await self._looked(deep=deep)
        self.last = EndedCheck(time.time(), time.perf_counter() - began, deep, found)
        return found

    async def _looked(self, *, deep: bool) -> StoreCheck:
        parts = self._parts
        stored = await asyncio.to_thread(
            check_store,
            parts.folder,
            lambda: parts.registry.snapshot(
                partial(read_snapshot, fingerprint=parts.pages.packing.fingerprint)
            ),
            deep=deep,
            live=True,
            jwks=parts.jwks(),
        )
        responses = await asyncio.to_thread(parts.responses.check) if deep and not self._in_files else []
        memory = await parts.engine()
        for line in memory:
            logger.error("the pages in memory: %s", line)
        return joined(
            [
                stored,
                of_lines(StorePart.RESPONSES, responses, "drop"),
                of_lines(StorePart.PAGES, [f"in memory: {line}" for line in memory], "look"),
            ]
        )

    @property
    def _in_files(self) -> bool:
        """True where the stored responses are files, which the check of the folder reads."""
        return (self._parts.folder / "responses").is_dir()

    def _mend(self, before: StoreCheck) -> list[str]:
        notes: list[str] = []
        parts = self._parts
        if bad := before.bad_pages:
            notes.append(f"{parts.pages.delete(bad)} pages dropped")
        if any(fault.part is StorePart.RESPONSES and fault.mending == "drop" for fault in before.faults):
            notes.append(f"{parts.responses.drop_damaged()} stored responses dropped")
        if any(fault.part is StorePart.ALIASES for fault in before.faults):
            entries = parts.registry.snapshot(read_snapshot)
            there = {(entry.document.ref.name, entry.document.version) for entry in entries.entries}
            for alias in entries.aliases:
                if (alias.name, alias.version) not in there:
                    parts.registry.set_alias(alias.name, alias.alias, None)
        return notes
