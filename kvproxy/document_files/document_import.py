"""`DocumentImporter`: takes a version in from another host's file, with its pages where they hold, else its text."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from kvproxy.backends.base import LocalBackend
from kvproxy.core import PAGE_TOKENS, Caller, Visibility
from kvproxy.core.report_progress import ReportProgress
from kvproxy.document_files.file_reading import DocumentFileReader
from kvproxy.document_files.file_sections import travelling_pages
from kvproxy.document_files.later_checks import LaterChecks
from kvproxy.document_files.staged_pages import StagedFraming, StagedPages, staged_framing
from kvproxy.documents.library.document import FramedPrefix, etag_of
from kvproxy.documents.library.document_info import Published
from kvproxy.engine.cache.page_key import page_key, root_key
from kvproxy.errors import DocumentRejected
from kvproxy.manifests.manifest import (
    Manifest,
    ManifestFraming,
    ManifestSource,
    changed_identity,
    manifest_sha256,
    token_ids_sha256,
)
from kvproxy.manifests.trusted_hosts import Jwks, TrustedHosts
from kvproxy.publish import Publisher
from kvproxy.store.page_record import HEADER_UNIT
from kvproxy.store.page_transfer import MOST_HEADER, PageTransfer

logger = logging.getLogger(__name__)

PagesWish = Literal["auto", "required", "none"]
"""``auto``: the pages where they fit this engine, else the text alone; ``required``: an error instead; ``none``: the
text alone."""


@dataclass(frozen=True, slots=True)
class ImportWish:
    """The importer's choices."""

    id: str | None = None
    """The id to publish under; None: the one in the manifest."""
    visibility: Visibility | None = None
    """As for a publish: None takes that of the version before it, else the configured one. Never the manifest's: its
    publisher's readers are another host's."""
    pages: PagesWish = "auto"
    pinned: bool | None = None
    jwks: Jwks | None = None
    """Keys that an operator believes for this file, beside those of the trusted hosts."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import."""

    published: Published
    manifest: Manifest
    """The manifest of the file."""
    pages: int
    """Pages that were taken from the file."""
    checked: int
    """Pages that were computed again before."""
    note: str
    """The reason that pages were computed here and not taken; empty where all were taken."""


class DocumentImporter:
    """Imports files, each in one pass over its bytes. Event loop only.

    Example:
        ``imported = await importer.take_in(request.content.iter_chunked(2**16), ImportWish(), caller)``
    """

    def __init__(
        self,
        *,
        publisher: Publisher,
        local: LocalBackend,
        transfer: PageTransfer,
        hosts: TrustedHosts,
        identity: Mapping[str, str],
        share: float,
        most_page: int,
        max_text: int,
        random: Random | None = None,
    ) -> None:
        """``identity``: the parts of this engine's fingerprint. ``share``: of an import's pages, how many are computed
        again. ``most_page``: bytes that one page's frames may have. ``random`` chooses them, unforeseeably for the
        file's author."""
        self._publisher = publisher
        self._local = local
        self._transfer = transfer
        self._hosts = hosts
        self._identity = identity
        self._share = share
        self._most_page = most_page
        self._max_text = max_text
        self._random = random or secrets.SystemRandom()
        self.later = LaterChecks(publisher, local)
        """The checks of the pages that an import left out; run it in the background."""

    async def take_in(
        self,
        chunks: AsyncIterator[bytes],
        wish: ImportWish,
        caller: Caller,
        progress: ReportProgress | None = None,
    ) -> Imported:
        """Check a file and publish what is in it; until then no reader finds any of it, and a failure leaves nothing.

        Raises SignatureRefused, DocumentRejected (it names the section, the page or the part of the engine's identity
        that is wrong), and the errors of ``Publisher.publish``.

        Example:
            ``await importer.take_in(chunks, ImportWish(visibility="private", pages="required"), caller)``
        """
        file = DocumentFileReader(chunks)
        jws = await file.manifest()
        manifest = await asyncio.to_thread(self._hosts.verify, jws, wish.jwks)
        text = await self._text(file, manifest)
        wish = replace(wish, id=wish.id or manifest.document.id)
        plan = await self._fitting(manifest, wish, text)
        root = root_key(self._transfer.fingerprint)
        async with StagedPages(self._local, self._transfer, root, caller.scope) as staged:
            staged.framings += plan.framings
            pages = await self._stage(file, manifest, staged)
            await staged.check(self._share, self._random, progress)
            published = await self._publisher.publish(
                wish.id or "",
                text,
                wish.visibility,
                caller,
                progress,
                pinned=wish.pinned,
                arrival=staged,
                source=_source(manifest, jws, pages, staged.checked),
            )
            if published.created:
                self.later.add(self._publisher.current_ref(published.info.id, caller), staged.unchecked)
        imported = Imported(published, manifest, pages, staged.checked, plan.note)
        _log(imported)
        return imported

    async def _fitting(self, manifest: Manifest, wish: ImportWish, text: str) -> _Plan:
        """Return the framings whose pages are taken. Raises DocumentRejected where all have to be and are not."""
        note = self._misfit(manifest, wish)
        plan = _Plan((), note) if note else await asyncio.to_thread(self._plan, manifest, wish, text)
        if plan.note and wish.pages == "required":
            raise DocumentRejected(plan.note)
        return plan

    async def _text(self, file: DocumentFileReader, manifest: Manifest) -> str:
        size = manifest.document.bytes
        if not 0 < size <= self._max_text:
            raise DocumentRejected(
                f"The file's text has {size} bytes; at most {self._max_text} are accepted. Raise documents.max_text."
            )
        content = await file.text(size)
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as e:
            raise DocumentRejected("The file's text is not UTF-8. Export it again.") from e
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        if digest != manifest.document.etag or etag_of(text) != digest:
            raise DocumentRejected("The file's text is not the one that its manifest was signed for.")
        return text

    def _misfit(self, manifest: Manifest, wish: ImportWish) -> str:
        """Return the reason why no page of the file can be used; empty where they may be."""
        if wish.pages == "none":
            return "only the text was asked for"
        theirs, ours = manifest.engine, self._identity
        if theirs.fingerprint != self._transfer.fingerprint or manifest.page_tokens != PAGE_TOKENS:
            names = changed_identity(theirs.identity, ours)
            told = [
                f"{name}: {_short(theirs.identity.get(name))}, here {_short(ours.get(name))}"
                for name in names
            ]
            differs = "; ".join(told) or "nothing that the manifest names, but the fingerprint itself"
            return (
                f"The pages of this file were computed by an engine with other bits. What differs: {differs}"
            )
        if not self._local.info.exact:
            return "this engine was not shown exact, so that pages of others cannot be checked here"
        return ""

    def _plan(self, manifest: Manifest, wish: ImportWish, text: str) -> _Plan:
        """Return the framings whose pages are taken. Blocking: it tokenises the text."""
        prefixes = self._publisher.prefixes(wish.id or "", text)
        there = {framing.name: framing for framing in manifest.framings}
        root = root_key(self._transfer.fingerprint)
        taken: list[StagedFraming] = []
        left: list[str] = []
        for prefix in prefixes:
            framing = there.get(prefix.name)
            staged = _cut(prefix, root)
            if framing is None:
                left.append(f"the file has no framing '{prefix.name}'")
            elif (fault := _fault(framing, staged)) is not None:
                left.append(f"framing '{prefix.name}' {fault}")
            else:
                taken.append(staged)
        return _Plan(tuple(taken), "; ".join(left))

    async def _stage(self, file: DocumentFileReader, manifest: Manifest, staged: StagedPages) -> int:
        """Read the file to its end, and keep the pages of the framings that are taken. Return their number."""
        wanted = {
            key.hex(): (framing, index)
            for framing in staged.framings
            for index, key in enumerate(framing.keys)
        }
        taken = 0
        for framing, index, page in travelling_pages(manifest):
            if page.bytes > self._most_page:
                raise DocumentRejected(
                    f"Page {index} of framing '{framing.name}' has {page.bytes} bytes, and one of this model has at "
                    f"most {self._most_page}."
                )
            sizes = (HEADER_UNIT + page.bytes, MOST_HEADER + page.bytes)
            place = wanted.get(page.key)
            if place is None or page.digest is None:
                await file.skip_page(*sizes)
                continue
            content = await file.page(*sizes)
            await staged.put(*place, content, bytes.fromhex(page.digest))
            taken += 1
        await file.end()
        return taken


@dataclass(frozen=True, slots=True)
class _Plan:
    """The framings whose pages are taken from the file."""

    framings: tuple[StagedFraming, ...]
    note: str
    """The reason why others are computed here."""


def _source(manifest: Manifest, jws: str, pages: int, checked: int) -> ManifestSource:
    document = manifest.document
    return ManifestSource(
        manifest.host, document.id, document.version, manifest_sha256(jws), pages=pages, checked=checked
    )


def _log(imported: Imported) -> None:
    info = imported.published.info
    logger.info(
        "%s@%d was imported from %s: %d pages taken, %d of them computed again%s",
        info.id,
        info.version,
        imported.manifest.host,
        imported.pages,
        imported.checked,
        f"; {imported.note}" if imported.note else "",
    )


def _cut(prefix: FramedPrefix, root: bytes) -> StagedFraming:
    """Return a prefix cut into pages, with the keys that this engine gives them."""
    keys: list[bytes] = []
    ids: Sequence[int] = prefix.token_ids
    for begin in range(0, len(ids), PAGE_TOKENS):
        keys.append(page_key(keys[-1] if keys else root, ids[begin : begin + PAGE_TOKENS]))
    return staged_framing(prefix.name, ids, keys, PAGE_TOKENS)


def _fault(framing: ManifestFraming, ours: StagedFraming) -> str | None:
    """Return what is wrong with a manifest's framing, beside the same one of this host's own tokens."""
    if (framing.tokens, framing.token_ids_sha256) != (len(ours.token_ids), token_ids_sha256(ours.token_ids)):
        return "has other tokens here: another tokenizer or chat template"
    if tuple(page.key for page in framing.pages) != tuple(key.hex() for key in ours.keys):
        return "has pages with other keys here"
    if any(page.digest is None for page in framing.pages):
        return "lacks a page, which was not on disk when it was exported"
    return None


def _short(value: Any) -> str:
    told = "unset" if value is None else str(value)
    return told if len(told) <= 60 else f"{told[:16]}…"
