"""Learn a document: tokenise, prefill under every framing, keep the pages, and only then make it known."""

from __future__ import annotations

import asyncio
import builtins
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from kvproxy.backends.base import Found, Kept, LocalBackend
from kvproxy.core import Caller, DocumentRef, Prompt, Visibility
from kvproxy.documents.compose import Composer
from kvproxy.documents.document import Document, FramedPrefix, checked_etag
from kvproxy.documents.info import DocumentInfo, FramingInfo, Published, SpellingInfo
from kvproxy.documents.library import Known, Library, Spelled
from kvproxy.documents.preparation import Preparation, Prepared, SpellingPolicy
from kvproxy.documents.registry import Entry, KeptFraming, Registry
from kvproxy.documents.shelf import Holding, Shelf
from kvproxy.documents.turns import Turns, whole
from kvproxy.errors import DocumentNotFound, DocumentRejected, KVProxyError, PermissionDenied, Retryable
from kvproxy.pinning import Pins
from kvproxy.quarantine import Quarantine

logger = logging.getLogger(__name__)

MARGIN = 256
"""Positions that a document must leave free for the question and the answer."""

_REFRESH_ATTEMPTS = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Stale:
    """A published prefix whose pages must be made again."""

    ref: DocumentRef
    prefix: FramedPrefix
    reason: str


class Publisher:
    """Publishes, lists and deletes; the only writer of library, registry and published pages.

    Call ``restore`` once before serving, then run ``refresh`` in the background.
    """

    def __init__(
        self,
        *,
        composer: Composer,
        library: Library,
        registry: Registry,
        local: LocalBackend,
        default_visibility: Visibility = "public",
        max_text: int = 8 * 2**20,
        spellings: SpellingPolicy = "auto",
    ) -> None:
        """``max_text`` is in bytes of UTF-8. ``spellings``: which of a text's are prefilled and recognised."""
        self._composer = composer
        self._preparation = Preparation(composer, spellings)
        self._library = library
        self._registry = registry
        self._local = local
        self._default_visibility = default_visibility
        self._max_text = max_text
        self._shelf = Shelf()
        self._stale: list[_Stale] = []
        self._forgotten = 0
        """How often pages were dropped: a publish that sees it change looks after its own."""
        self._turns = Turns()
        self._pins = Pins(registry, local, self._shelf)
        self.quarantine = Quarantine(library, registry, local, self._shelf, self._turns, self._pins.renew)

    async def publish(
        self,
        id: str,
        text: str,
        visibility: Visibility | None,
        caller: Caller,
        progress: Progress | None = None,
        *,
        pinned: bool | None = None,
    ) -> Published:
        """Returns when the pages are on disk and the version is visible; until then nothing is.

        Without ``visibility`` a new version has that of the one before it. The same text again changes
        nothing, but that a version in quarantine is prefilled anew and let out. ``progress(done, total)`` counts
        tokens over all framings and spellings. ``pinned`` keeps the pages in memory; without it, a new version
        takes over the pin of the one before it. Raises DocumentRejected, PermissionDenied, Overloaded, CannotFit,
        StorageFull.
        """
        etag = checked_etag(id, text, self._max_text)
        async with self._turns.of(id):
            current = self._current(id, caller)
            wanted = visibility or (current.visibility if current else self._default_visibility)
            if current is not None and (current.etag, current.visibility) == (etag, wanted):
                if pinned and current.ref not in self._pins:
                    known = self._library.find(current.ref)
                    self._pins.check([len(p.token_ids) for p in known.prefixes] if known else [], None)
                prefill_s = await self.quarantine.settle(current.ref)
                if pinned is not None:
                    await whole(
                        self._pins.move(None if pinned else current.ref, current.ref if pinned else None)
                    )
                return Published(self._info(current.ref, caller), created=False, prefill_s=prefill_s)
            prepared = await asyncio.to_thread(self._prepare, id, text)
            prefixes = prepared.prefixes
            before = current.ref if current is not None and current.ref in self._pins else None
            pinned = before is not None if pinned is None else pinned
            if pinned:
                self._pins.check([len(p.token_ids) for p in prefixes], before)
            version = await asyncio.to_thread(self._registry.last_version, id) + 1
            document = Document(id, version, text, etag, wanted, caller.scope, int(time.time()))
            forgotten = self._forgotten
            framings = await self._keep_all(document.scope, prefixes, progress, caller.scope)
            await whole(self._commit(prepared.known(document), framings))
            if self._forgotten != forgotten:
                await self._keep_dropped(document.scope, framings)
            await whole(self._pins.move(before, document.ref if pinned else None))
            prefill_s = sum(f.kept.prefill_s for f in framings)
            return Published(self._info(document.ref, caller), created=True, prefill_s=prefill_s)

    async def list(self, caller: Caller) -> builtins.list[DocumentInfo]:
        """All versions that ``caller`` may see, by id and then by version."""
        refs = [k.document.ref for k in self._library if k.document.visible_to(caller.scope)]
        return [self._info(ref, caller) for ref in refs]

    async def get(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        """Raises DocumentNotFound."""
        return self._info(ref, caller)

    async def text(self, ref: DocumentRef, caller: Caller) -> str:
        """Raises DocumentNotFound."""
        return self._library.resolve(ref, caller).document.text

    async def delete(self, ref: DocumentRef, caller: Caller) -> None:
        """All versions when ``ref`` names none. Raises DocumentNotFound; PermissionDenied for non-owners."""
        async with self._turns.of(ref.id):
            found = [
                known
                for known in self._library.versions(ref.id, caller)
                if ref.version in (None, known.document.version)
            ]
            if not found:
                raise DocumentNotFound(str(ref))
            if any(known.document.owner_scope != caller.scope for known in found):
                raise PermissionDenied(f"Only the publisher of '{ref.id}' can delete it.")
            await whole(self._delete(found))

    async def restore(self) -> None:
        """Make registered documents known and their pages findable; what is missing waits for ``refresh``."""
        for entry in await asyncio.to_thread(self._registry.load):
            prepared = await asyncio.to_thread(self._preparation.prepare, entry.document.text, self._longest)
            self._library.add(prepared.known(entry.document, entry.quarantined))
            if entry.pinned:
                self._pins.remember(entry.document.ref)
            if entry.quarantined is None:
                await self._restore_pages(entry, prepared.prefixes)
            else:
                self._shelf.put(entry.document.ref, Holding(entry.document.scope, entry.framings))
                logger.error("%s stays in quarantine: %s", entry.document.ref, entry.quarantined)

    async def refresh(self) -> None:
        """Prefill again what ``restore`` found missing. Ends by itself; failures are logged and left."""
        stale, self._stale = self._stale, []
        for item in stale:
            try:
                await self._refresh_one(item)
            except KVProxyError as e:
                logger.warning("%s (%s) stays without pages: %s", item.ref, item.prefix.name, e.message)
        await self._pins.restore(lambda ref: (found := self._library.find(ref)) is not None and not found.quarantined)

    def _current(self, id: str, caller: Caller) -> Document | None:
        owner = self._library.owner(id)
        if owner is not None and owner != caller.scope:
            raise PermissionDenied(f"The document id '{id}' belongs to another publisher; choose another id.")
        versions = self._library.versions(id, caller)
        return versions[-1].document if versions else None

    @property
    def _longest(self) -> int:
        """Tokens that a prefix may have."""
        return self._local.info.max_context - MARGIN

    def _prepare(self, id: str, text: str) -> Prepared:
        """Raises DocumentRejected when the document leaves no room for a question."""
        limit = self._longest
        token_ids = self._composer.encode(text)
        longest = len(token_ids)
        if longest <= limit:  # a text far too long is not worth cutting
            prepared = self._preparation.prepare(text, limit, token_ids)
            longest = max([longest, *(len(p.token_ids) for p in prepared.prefixes)])
            if longest <= limit:
                return prepared
        raise DocumentRejected(
            f"'{id}' needs {longest} tokens; this model's context has {limit + MARGIN}, {MARGIN} of them "
            "kept free for question and answer. Publish it in parts.",
            param="text",
        )

    async def _keep_all(
        self, scope: str, prefixes: Sequence[FramedPrefix], progress: Progress | None, owner: str
    ) -> tuple[KeptFraming, ...]:
        """Keep every prefix, or, when one fails or the publisher leaves, none."""
        total = sum(len(p.token_ids) for p in prefixes)
        done = 0
        framings: list[KeptFraming] = []
        try:
            for prefix in prefixes:
                report = partial(_report, progress, done, total) if progress is not None else None
                kept = await self._local.keep(prefix.token_ids, scope, report, owner)
                framings.append(KeptFraming(prefix.name, kept))
                done += len(prefix.token_ids)
        except BaseException:
            await whole(self._forget_all([Holding(scope, tuple(framings))]))
            raise
        return tuple(framings)

    async def _commit(self, known: Known, framings: tuple[KeptFraming, ...]) -> None:
        """Make a version visible, on disk and then here. If the first fails, nothing of it stays."""
        document = known.document
        holding = Holding(document.scope, framings)
        try:
            await asyncio.to_thread(self._registry.publish, document, framings)
        except BaseException:
            await self._forget_all([holding])
            raise
        self._shelf.put(document.ref, holding)
        self._library.add(known)

    async def _delete(self, found: Sequence[Known]) -> None:
        """Hidden first, so that no new reader finds what is being dropped."""
        refs = [known.document.ref for known in found]
        for ref in refs:
            self._library.remove(ref)
        try:
            await asyncio.to_thread(self._registry.delete, refs)
        except BaseException:
            for known in found:
                self._library.add(known)
            raise
        await self._pins.drop(refs)
        await self._forget_all(self._shelf.take(refs))

    async def _forget_all(self, holdings: Sequence[Holding]) -> None:
        """Drop what no document on the shelf needs.

        Page keys are the same in every scope. Pages leave this scope at once even if another one has them
        too, so that nobody can tell; the other scope then writes its copy again, from memory.
        """
        self._forgotten += 1
        for holding in holdings:
            needed = self._shelf.keys(holding.scope)
            for framing in holding.framings:
                if any(page.key not in needed for page in framing.kept.pages):
                    await self._local.forget(framing.kept, holding.scope, needed)
            for scope, kept in self._shelf.sharing(holding.keys - needed, holding.scope):
                await self._keep_again(kept, scope)

    async def _keep_dropped(self, scope: str, framings: Sequence[KeptFraming]) -> None:
        """A deletion meanwhile may have taken shared pages that were not yet known to be needed."""
        for framing in framings:
            if await self._local.known(framing.kept, scope) < _tokens(framing.kept):
                await self._keep_again(framing.kept, scope)

    async def _keep_again(self, kept: Kept, scope: str) -> None:
        try:
            await self._local.keep(kept.token_ids, scope)
        except KVProxyError as e:
            logger.warning("a prefix of %d tokens is without pages: %s", len(kept.token_ids), e.message)

    async def _restore_pages(self, entry: Entry, prefixes: Sequence[FramedPrefix]) -> None:
        document = entry.document
        wanted = {p.name: p for p in prefixes}
        self._shelf.put(document.ref, Holding(document.scope, entry.framings))
        for name, prefix in wanted.items():
            kept = self._shelf.get(document.ref).of(name)
            reason = await self._why_missing(kept, prefix, document.scope)
            if reason is not None:
                logger.info("%s (%s) will be prefilled again: %s", document.ref, name, reason)
                self._stale.append(_Stale(document.ref, prefix, reason))

    async def _why_missing(self, kept: Kept | None, prefix: FramedPrefix, scope: str) -> str | None:
        if kept is None:
            return "this framing or spelling is new"
        if kept.token_ids != prefix.token_ids:
            return "tokenizer or chat template have changed"
        on_disk = await self._local.known(kept, scope)
        if on_disk >= _tokens(kept):
            return None
        return f"{on_disk} of {_tokens(kept)} tokens are on disk for this engine"

    async def _refresh_one(self, item: _Stale) -> None:
        for attempt in range(1, _REFRESH_ATTEMPTS + 1):
            async with self._turns.of(item.ref.id):
                known = next((k for k in self._library if k.document.ref == item.ref), None)
                if known is None:
                    return
                try:
                    document = known.document
                    kept = await self._local.keep(
                        item.prefix.token_ids, document.scope, owner=document.owner_scope
                    )
                except Retryable as e:
                    if attempt == _REFRESH_ATTEMPTS:
                        raise
                    delay = e.retry_after_s or 0
                else:
                    await whole(self._replace(known, KeptFraming(item.prefix.name, kept)))
                    return
            await asyncio.sleep(delay)

    async def _replace(self, known: Known, framing: KeptFraming) -> None:
        # Framings no longer configured leave here; the store collects their pages at the next start.
        document, names = known.document, {prefix.name for prefix in known.prefixes} - {framing.framing}
        others = tuple(f for f in self._shelf.get(document.ref).framings if f.framing in names)
        holding = Holding(document.scope, (*others, framing))
        await asyncio.to_thread(self._registry.replace_kept, document.ref, holding.framings)
        self._shelf.put(document.ref, holding)

    def _info(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        known = self._library.resolve(ref, caller)
        document = known.document
        newest = self._library.resolve(DocumentRef(document.id), caller).document
        return DocumentInfo(
            id=document.id,
            version=document.version,
            current=document.version == newest.version,
            etag=document.etag,
            visibility=document.visibility,
            characters=len(document.text),
            tokens=len(known.tokenized.token_ids),
            created=document.created,
            framings=tuple(self._framing_info(f, caller) for f in self._shelf.get(document.ref).framings),
            quarantined=known.quarantined,
            pinned=document.ref in self._pins,
            spellings=tuple(_spelling_info(spelled) for spelled in known.spellings),
        )

    def _framing_info(self, framing: KeptFraming, caller: Caller) -> FramingInfo:
        kept = framing.kept
        # One token more: a lookup leaves the last position of a prompt to be computed.
        with self._local.hold(Prompt((*kept.token_ids, kept.token_ids[-1])), caller) as lookup:
            found = lookup.tokens if isinstance(lookup, Found) else 0
        tokens = len(kept.token_ids)
        return FramingInfo(framing.framing, tokens, min(found, tokens), kept.bytes)


def _tokens(kept: Kept) -> int:
    return sum(page.tokens for page in kept.pages)


def _spelling_info(spelled: Spelled) -> SpellingInfo:
    tokenized = spelled.tokenized
    core, tokens = tokenized.core, len(tokenized.token_ids)
    return SpellingInfo(spelled.name, len(core), tokens, spelled.leading, tokenized.key)


def _report(progress: Progress, before: int, total: int, done: int, _: int) -> None:
    progress(before + done, total)
