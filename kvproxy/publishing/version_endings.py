"""`VersionEndings`: revokes versions, ends and deletes those whose time is over, touches them, and moves aliases."""

from __future__ import annotations

import asyncio
import heapq
import logging
from dataclasses import replace

from kvproxy.core import GRANTED, LATEST, Caller, DocumentRef
from kvproxy.documents.library.document import Document
from kvproxy.documents.library.preconditions import UNCONDITIONAL, Preconditions
from kvproxy.documents.library.withdrawn_documents import Withdrawal
from kvproxy.documents.registry.registry_entry import RegistryEntry
from kvproxy.errors import DocumentNotFound, InvalidRequest, KVProxyError, PermissionDenied
from kvproxy.publishing.ending_parts import EndingParts
from kvproxy.publishing.expiry_clock import ExpiryClock
from kvproxy.publishing.hidden_endings import hide_ended
from kvproxy.publishing.meant_documents import meant_documents, touchable_document
from kvproxy.publishing.publishing_parts import PublishingParts
from kvproxy.runtime.run_to_completion import run_to_completion

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two looks at the clock, which may have jumped; a version that is due sooner is not waited for."""

DELETING_S = 60.0
"""Seconds between two looks for versions whose grace has passed."""


class VersionEndings:
    """The ends of versions, and the names that move between them. Event loop only, but for what waits for the disk.

    It shares its parts with the publisher. Only a version's publisher may call for it; an admin may revoke any that it
    can name.

    Example:
        ``await endings.revoke(DocumentRef("handbook", 3), caller, "withdrawn by legal")``
    """

    def __init__(
        self,
        shared: PublishingParts,
        parts: EndingParts,
        *,
        grace_s: float,
        clock: ExpiryClock | None = None,
    ) -> None:
        """Take the publisher's parts. ``grace_s``: seconds from a version's end to the deletion of its text."""
        self._library, self._registry, self._locks = shared.library, shared.registry, shared.locks
        self._parts = parts
        self._grace_s = grace_s
        self.clock = clock or ExpiryClock()
        self._due: list[tuple[int, str, int]] = []
        """A heap of (``expires``, ``DocumentRef.name``, version); an entry that says another time than the version is
        passed over."""

    def restore(self, entry: RegistryEntry) -> bool:
        """Return whether a registered version is served; hide it where not."""
        if hide_ended(self._library, entry, self.clock) is not None:
            return False
        self.follow(entry.document)
        return True

    async def restore_aliases(self) -> None:
        """Read the aliases."""
        for alias in await asyncio.to_thread(self._registry.aliases):
            self._library.aliases.set(alias.name, alias.alias, alias.version)

    def follow(self, document: Document) -> None:
        """End a version when its time comes."""
        if document.expires is not None:
            heapq.heappush(self._due, (document.expires, document.ref.name, document.version))

    def expires_in(self, ttl_s: int | None) -> int | None:
        """Return the Unix second that is ``ttl_s`` from now; None for None."""
        return None if ttl_s is None else int(self.clock.ended_by()) + ttl_s

    async def revoke(self, ref: DocumentRef, caller: Caller, reason: str) -> list[DocumentRef]:
        """Never serve a version again, or any where ``ref`` names none, also to requests that wait; durable on return.

        The numbers are not used again, and the ledger stays as it is. Returns the revoked versions. Raises
        DocumentNotFound, PermissionDenied.

        Example:
            ``await endings.revoke(DocumentRef("handbook"), caller, "it was wrong")``
        """
        revoked = []
        for document in meant_documents(self._library, ref, caller):
            async with self._locks.of(document.series):
                if document.owner_scope != caller.scope and "admin" not in caller.permissions:
                    continue
                # Hidden before it is written: should writing fail, it stays hidden, and the call can be repeated.
                self._library.withdraw(document.ref, "revoked", reason)
                self._library.withdrawn.put(Withdrawal(document, "revoked", reason))
                await run_to_completion(self._revoke(document.ref, reason))
                revoked.append(document.ref)
        if not revoked:
            raise PermissionDenied(f"Only the publisher of '{ref.id}' can revoke it.")
        return revoked

    async def touch(self, ref: DocumentRef, caller: Caller, ttl_s: int | None) -> DocumentRef:
        """Let a version end ``ttl_s`` seconds from now, None: never; durable on return. One that has expired and is
        not deleted yet is served again, its pages computed anew.

        Raises DocumentNotFound, DocumentRevoked, PermissionDenied, and the errors of ``LocalBackend.keep``.

        Example:
            ``await endings.touch(DocumentRef("handbook", 3), caller, 30 * 86_400)``
        """
        document = touchable_document(self._library, ref, caller)
        async with self._locks.of(document.series):
            touched = replace(document, expires=self.expires_in(ttl_s))
            known, ended = self._library.find(document.ref), self._library.withdrawn.find(document.ref)
            if ended is not None and ended.ending == "expired":
                await self._parts.revive(touched)
                self._library.withdrawn.take(document.ref)
            elif known is None:
                raise DocumentNotFound(str(ref))
            await run_to_completion(self._touch(touched))
        return document.ref

    async def expire_at(self, ref: DocumentRef, expires: int) -> None:
        """Let a served version end at this Unix second, under the caller's lock of its document."""
        known = self._library.find(ref)
        if known is not None:
            await run_to_completion(self._touch(replace(known.document, expires=expires)))

    async def set_alias(
        self,
        id: str,
        alias: str,
        version: int | None,
        caller: Caller,
        conditions: Preconditions = UNCONDITIONAL,
    ) -> Document:
        """Let an alias of the caller's own document mean a version, None: the current one; durable on return.

        Returns the version's document. Raises DocumentNotFound, PermissionDenied, PreconditionFailed, InvalidRequest.

        Example:
            ``await endings.set_alias("handbook", "stable", 3, caller)``
        """
        _check_alias(alias)
        async with self._locks.of(f"{id}\n{caller.scope}"):
            document = self._library.resolve(DocumentRef(id, version), caller).document
            if document.owner_scope != caller.scope:
                raise PermissionDenied(f"Only the publisher of '{id}' can move its aliases.")
            conditions.check(self._aliased(id, alias, caller), f"{id}@{alias}")
            await run_to_completion(self._move(document.ref.name, alias, document.version))
            for name in self._names(id, caller):
                if name != document.ref.name and self._library.aliases.version(name, alias) is not None:
                    await run_to_completion(self._move(name, alias, None))
            return document

    async def drop_alias(
        self, id: str, alias: str, caller: Caller, conditions: Preconditions = UNCONDITIONAL
    ) -> None:
        """Remove an alias of the caller's own document. Raises DocumentNotFound, PreconditionFailed, InvalidRequest.

        Example:
            ``await endings.drop_alias("handbook", "stable", caller)``
        """
        _check_alias(alias)
        async with self._locks.of(f"{id}\n{caller.scope}"):
            names = [
                n for n in self._names(id, caller) if self._library.aliases.version(n, alias) is not None
            ]
            if not names:
                raise DocumentNotFound(f"{id}@{alias}")
            conditions.check(self._aliased(id, alias, caller), f"{id}@{alias}")
            for name in names:
                await run_to_completion(self._move(name, alias, None))

    async def run(self) -> None:
        """End versions when their time comes, and delete them after the grace, until cancelled."""
        looked = float("-inf")
        while True:
            now = self.clock.ended_by()
            for ref in self._take_due(now):
                await self._end(ref)
            elapsed = asyncio.get_running_loop().time()
            if elapsed - looked >= DELETING_S:
                looked = elapsed
                await self.delete_ended()
            await self._due_or_polled()

    async def run_unrecorded(self) -> None:
        """End versions when their time comes, until cancelled, and write nothing: another's endings do.

        A library that waited for the registry to say so would serve them for as long as the database is away."""
        while True:
            for ref in self._take_due(self.clock.ended_by()):
                await self._end(ref, recorded=False)
            await self._due_or_polled()

    async def _due_or_polled(self) -> None:
        left = self._due[0][0] - self.clock.ended_by() if self._due else POLL_S
        await asyncio.sleep(min(POLL_S, max(0.0, left)))

    async def delete_ended(self) -> None:
        """Delete the versions that expired longer ago than the grace. Failures are logged, and tried again."""
        by = self.clock.deleted_by() - self._grace_s
        ended = [
            w.document.ref
            for w in self._library.withdrawn
            if w.ending == "expired" and w.document.expires is not None and w.document.expires <= by
        ]
        if not ended:
            return
        try:
            left = await asyncio.to_thread(self._registry.delete_expired, ended, by)
        except KVProxyError as e:
            logger.warning("%d expired document versions are not deleted yet: %s", len(ended), e.message)
            return
        if not (ended := [ref for ref in ended if ref not in left]):
            return
        for ref in ended:
            self._library.withdrawn.take(ref)
        await self._parts.forget(ended)
        logger.info("%d document versions that had expired were deleted", len(ended))

    def withdrawn(self, caller: Caller) -> list[Withdrawal]:
        """Return the caller's own versions that are not served any more, by id and then by version."""
        own = (w for w in self._library.withdrawn if w.document.owner_scope == caller.scope)
        return sorted(own, key=lambda w: (w.document.id, w.document.version))

    def _take_due(self, now: float) -> list[DocumentRef]:
        """Hide the versions that are due, at once, and return them."""
        due = []
        while self._due and self._due[0][0] <= now:
            expires, name, version = heapq.heappop(self._due)
            id, _, owner = name.partition("\n")
            ref = DocumentRef(id, version, owner or None)
            known = self._library.find(ref)
            if known is not None and known.document.expires == expires:
                self._library.withdraw(ref, "expired")
                due.append(ref)
        return due

    async def _end(self, ref: DocumentRef, *, recorded: bool = True) -> None:
        """Drop the pages of a version that is hidden now, and ``recorded``: their rows."""
        ended = self._library.withdrawn.find(ref)
        if ended is None:
            return
        async with self._locks.local(ended.document.series):
            if self._library.withdrawn.find(ref) is ended:
                logger.info("%s has expired", ref)
                try:
                    await run_to_completion(self._drop_pages(ref) if recorded else self._parts.let_go([ref]))
                except KVProxyError as e:
                    logger.warning("%s has expired, and its pages are not dropped yet: %s", ref, e.message)

    async def _drop_pages(self, ref: DocumentRef) -> None:
        # Another proxy may have touched it a moment ago: then it is served again as soon as that is followed.
        if await asyncio.to_thread(self._registry.end, ref, self.clock.ended_by()):
            await self._parts.let_go([ref])

    async def _revoke(self, ref: DocumentRef, reason: str) -> None:
        await asyncio.to_thread(self._registry.revoke, ref, reason)
        await self._parts.let_go([ref])

    async def _touch(self, document: Document) -> None:
        await asyncio.to_thread(self._registry.touch, document.ref, document.expires)
        known = self._library.find(document.ref)
        if known is not None:
            self._library.add(replace(known, document=document))
            self.follow(document)

    async def _move(self, name: str, alias: str, version: int | None) -> None:
        await asyncio.to_thread(self._registry.set_alias, name, alias, version)
        self._library.aliases.set(name, alias, version)

    def _aliased(self, id: str, alias: str, caller: Caller) -> str | None:
        """Return the ETag of the version that the caller's own alias means; None where it means none."""
        for known in self._library.versions(id, caller):
            own = known.document.owner_scope == caller.scope
            if own and self._library.aliases.mean(DocumentRef(id, alias=alias), known.document):
                return known.document.etag
        return None

    def _names(self, id: str, caller: Caller) -> list[str]:
        """Return the names of the caller's own documents of this id."""
        names = [DocumentRef(id, owner=caller.scope).name]
        names += [DocumentRef(id).name] if self._library.owner(id) == caller.scope else []
        if self._library.owner(id, granted=True) == caller.scope:
            names.append(DocumentRef(id, owner=GRANTED).name)
        return names


def _check_alias(alias: str) -> None:
    if alias == LATEST:
        raise InvalidRequest(
            f"'{LATEST}' is always the current version; choose another alias, like 'stable'.", param="alias"
        )
