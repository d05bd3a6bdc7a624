"""`LibraryFollower`: keeps a library, with its pages and pins, true to the registry that others write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from kvproxy.core import GRANTED, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.registry.registry_entry import KeptFraming, RegistryEntry
from kvproxy.documents.registry.registry_names import NamedDocuments
from kvproxy.errors import KVProxyError
from kvproxy.publishing.document_locks import DocumentLocks
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.hidden_endings import hide_ended
from kvproxy.publishing.lacking_pages import LackingPages, SharedPages
from kvproxy.publishing.pending_names import PendingNames
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.publishing.restoration import Restoration
from kvproxy.publishing.version_endings import VersionEndings
from kvproxy.publishing.version_removal import VersionRemoval
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

_UNFINISHED = b"unfinished"
"""The state of a name that is being followed, or was not followed to its end: equal to none of the registry's."""
AT_ONCE = 16
"""Names that are followed at a time: one may wait for a publish of this process."""
RETRY_S = 1.0
RETRY_FAILED_S = 15.0
"""Seconds before a name is followed again that failed for no known reason, each time with a trace in the log."""


class LibraryFollower:
    """Follows the registry one name at a time, each time in the same way however often it is told. Event loop only.

    It follows this process's own changes as well: what it has seen of a name is then never older than what the
    publisher has made of it. The follower of a served model without a publisher is the only writer of its library.

    Example:
        ``follower = LibraryFollower(parts, restoration, own=True); await follower.restore(); await follower.run()``
    """

    def __init__(
        self,
        parts: PublishingParts,
        restoration: Restoration,
        endings: VersionEndings | None = None,
        *,
        own: bool,
        shared: SharedPages | None = None,
    ) -> None:
        """Take the parts; call ``begin`` or ``restore`` next. ``endings`` end in time what becomes visible;
        None: others end it. ``own``: follow even where nobody else can change anything, because a
        publisher of this process does. ``shared``: where the pages of other proxies are found."""
        self._parts, self._restoration, self._endings, self._own = parts, restoration, endings, own
        self._clock = ExpiryClock() if endings is None else endings.clock
        self._removal = VersionRemoval(parts)
        self._lacking = LackingPages(parts, restoration, shared)
        self._pending: PendingNames | None = None
        self._seen: dict[str, bytes] = {}
        """By name: the state of the registry that the library has followed."""
        self._gone: dict[DocumentRef, Document] = {}
        """Versions whose rows are deleted: hidden already, and not forgotten yet."""
        self._names = DocumentLocks()
        """One read of a name's rows is followed before the next one is made. A name may have documents of several
        publishers, and the lock of one does not keep out who follows under the lock of another."""
        parts.locks.catch_up = self.catch_up
        self._noted: set[DocumentRef] = set()
        """Versions whose rows were seen in quarantine: only those are released by a row. The mark of another may not
        have been written yet, or cannot be."""

    async def begin(self) -> None:
        """Note changes from now on, before the library is read: what changes meanwhile is followed by ``run``."""
        registry = self._parts.registry
        if self._pending is None and (self._own or registry.changes.can_listen):
            self._pending = PendingNames(registry.changes)
        if self._pending is not None:
            self._seen = await asyncio.to_thread(registry.states, self._parts.fingerprint)

    async def restore(self) -> None:
        """Make all registered documents known, and compute what is missing in ``run``. Where no publisher restores."""
        await self.begin()
        await self._restoration.restore()
        for alias in await asyncio.to_thread(self._parts.registry.aliases):
            self._parts.library.aliases.set(alias.name, alias.alias, alias.version)

    async def run(self) -> None:
        """Follow until cancelled. Without a database the library stays as it is, and is compared once it is back."""
        pending = self._pending
        if pending is None:
            return
        self._noted |= {known.document.ref for known in self._parts.library if known.quarantined is not None}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lacking.run())
                places = asyncio.Semaphore(AT_ONCE)
                while True:
                    for name in await self._changed(pending):
                        await places.acquire()
                        task = tasks.create_task(self._followed(name, pending))
                        task.add_done_callback(lambda _: places.release())
        finally:
            pending.close()

    async def catch_up(self, lock: str) -> None:
        """Follow the names of a document's lock, under that lock: what other proxies did under it is known then.

        Raises Unavailable.
        """
        id, _, owner = lock.partition("\n")
        names = [DocumentRef(id, owner=who).name for who in (None, GRANTED, *([owner] if owner else []))]
        states = await asyncio.to_thread(self._parts.registry.states, self._parts.fingerprint, names)
        for name in names:
            if states.get(name, b"") != self._seen.get(name, b""):
                await self._apply(name)

    async def sync(self, name: str) -> None:
        """Make the library true to the registry's rows of one name (``DocumentRef.name``). Raises Unavailable."""
        async with self._names.local(name):
            pass  # an older read is followed until here: what it makes known may be gone by now
        known = self._parts.library.of_name(name)
        found = await self._read(name)
        if found.state == self._seen.get(name, b""):
            return
        self._hide(found, known)  # at once: what is served no more does not wait for a publish that runs here
        async with self._locked(found):
            # Read again: the publisher of this process may have changed it before the lock was free.
            await self._apply(name)

    async def _read(self, name: str) -> NamedDocuments:
        return await asyncio.to_thread(self._parts.registry.named, name, self._parts.fingerprint)

    async def _changed(self, pending: PendingNames) -> Sequence[str]:
        """Wait for changes, and return their names."""
        changed = await pending.take()
        if not changed.all:
            return sorted(changed.names)
        try:
            states = await asyncio.to_thread(self._parts.registry.states, self._parts.fingerprint)
        except KVProxyError:
            await asyncio.sleep(RETRY_S)
            pending.add("")
            return []
        except Exception:  # whatever a driver raises: a follower that ends serves for ever what is deleted
            logger.exception("the documents that have changed could not be read")
            await asyncio.sleep(RETRY_FAILED_S)
            pending.add("")
            return []
        names = states.keys() | self._seen.keys()
        return sorted(name for name in names if states.get(name) != self._seen.get(name))

    async def _followed(self, name: str, pending: PendingNames) -> None:
        try:
            await self.sync(name)
        except KVProxyError as e:
            logger.debug("%r is followed later: %s", name, e.message)
            await asyncio.sleep(RETRY_S)
            pending.add(name)
        except Exception:
            logger.exception("a change of the document %r could not be followed", name.partition("\n")[0])
            asyncio.get_running_loop().call_later(RETRY_FAILED_S, pending.add, name)

    @asynccontextmanager
    async def _locked(self, found: NamedDocuments) -> AsyncIterator[None]:
        """Hold the locks of this process of all versions of a name, so that its publisher changes none meanwhile."""
        documents = [entry.document for entry in found.entries]
        documents += [known.document for known in self._parts.library.of_name(found.name)]
        documents += [document for ref, document in self._gone.items() if ref.name == found.name]
        async with AsyncExitStack() as held:
            for series in sorted({document.series for document in documents}):
                await held.enter_async_context(self._parts.locks.local(series))
            yield

    def _hide(self, found: NamedDocuments, known: Sequence[KnownDocument]) -> None:
        """Stop serving what has ended, and those that were ``known`` before the rows were read and have none."""
        library, there = self._parts.library, {entry.document.ref for entry in found.entries}
        for entry in found.entries:
            if library.find(entry.document.ref) is not None:
                hide_ended(library, entry, self._clock)
        for document in (one.document for one in known):
            if document.ref not in there and library.find(document.ref) is not None:
                library.remove(document.ref)
                self._gone[document.ref] = document

    async def _apply(self, name: str) -> None:
        async with self._names.local(name):
            found = await self._read(name)
            if found.state != self._seen.get(name, b""):
                await run_to_completion(self._make_true(found))

    async def _make_true(self, found: NamedDocuments) -> None:
        # Rows that are deleted meanwhile have the state of a name that was never seen: nobody may take it for followed.
        self._seen[found.name] = _UNFINISHED
        self._set_aliases(found)
        there = {entry.document.ref for entry in found.entries}
        library = self._parts.library
        gone = [known.document.ref for known in library.of_name(found.name)]
        gone += [ended.document.ref for ended in library.withdrawn.of_name(found.name)]
        gone += [ref for ref in self._gone if ref.name == found.name]
        await self._forget([ref for ref in gone if ref not in there])
        for entry in found.entries:
            if hide_ended(library, entry, self._clock) is None:
                await self._serve(entry)
            else:
                await self._lacking.release(entry.document.ref)
                await self._removal.let_go([entry.document.ref])
        if found.state:
            self._seen[found.name] = found.state
        else:
            self._seen.pop(found.name, None)

    def _set_aliases(self, found: NamedDocuments) -> None:
        aliases, wanted = self._parts.library.aliases, dict(found.aliases)
        for alias in aliases.names(found.name) - wanted.keys():
            aliases.set(found.name, alias, None)
        for alias, version in wanted.items():
            aliases.set(found.name, alias, version)

    async def _forget(self, refs: list[DocumentRef]) -> None:
        for ref in refs:
            self._parts.library.remove(ref)
            self._parts.library.withdrawn.take(ref)
            self._noted.discard(ref)
            await self._lacking.release(ref)
        if refs:
            await self._removal.forget(refs)
        for ref in refs:
            self._gone.pop(ref, None)

    async def _serve(self, entry: RegistryEntry) -> None:
        """Make a version known as its row says."""
        ref, library = entry.document.ref, self._parts.library
        known = library.find(ref)
        if known is None or known.document.etag != entry.document.etag:
            [(_, prepared)] = await asyncio.to_thread(self._restoration.prepared, [entry])
            known = prepared.known(entry.document, entry.quarantined)
            library.withdrawn.take(ref)
            library.add(known)
            self._follow(entry.document)
            before: KnownDocument | None = None
        else:
            before = known
            note = entry.quarantined if entry.quarantined or ref in self._noted else known.quarantined
            if (known.document, known.quarantined) != (entry.document, note):
                known = replace(known, document=entry.document, quarantined=note)
                library.add(known)
                self._follow(entry.document)
        (self._noted.add if entry.quarantined is not None else self._noted.discard)(ref)
        if known.quarantined is None:
            await self._find_pages(entry, before)
        elif before is None or before.quarantined is None:
            await self._confine(entry)
        await self._pin(entry)

    def _follow(self, document: Document) -> None:
        if self._endings is not None:
            self._endings.follow(document)

    async def _find_pages(self, entry: RegistryEntry, before: KnownDocument | None) -> None:
        held = _pages_of(self._parts.holdings.get(entry.document.ref).framings)
        released = before is not None and before.quarantined is not None
        if before is None or released or held != _pages_of(entry.framings):
            await self._lacking.look(entry)

    async def _confine(self, entry: RegistryEntry) -> None:
        """Drop the pages of a version in quarantine, but those that versions in use need too."""
        parts, ref = self._parts, entry.document.ref
        await self._lacking.release(ref)
        holding = parts.holdings.get(ref)
        needed = parts.holdings.needed(holding.keys, holding.scope, self._in_use)
        for framing in holding.framings:
            await parts.local.forget(framing.kept, holding.scope, needed, holding.owner)

    def _in_use(self, ref: DocumentRef) -> bool:
        known = self._parts.library.find(ref)
        return known is not None and known.quarantined is None

    async def _pin(self, entry: RegistryEntry) -> None:
        ref, pins = entry.document.ref, self._parts.pins
        if not entry.pinned:
            if ref in pins:
                await pins.drop([ref])
        elif ref not in pins:
            pins.remember(ref, entry.document.owner_scope)
            if entry.quarantined is None:
                await pins.restore(self._in_use)


def _pages_of(framings: Sequence[KeptFraming]) -> dict[str, tuple[object, ...]]:
    """Return what two records of one version's kept pages are compared by."""
    return {framing.framing: (framing.kept.token_ids, framing.kept.pages) for framing in framings}
