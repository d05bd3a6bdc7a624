"""`DictPublisher`: published documents in a dictionary, their ends, pins and verification."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from dataclasses import replace

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.core import (
    PUBLIC,
    Caller,
    DocumentRef,
    Prompt,
    Visibility,
)
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.core.pages import Residency
from kvproxy.documents.library.document import Document, Origin, checked_etag
from kvproxy.documents.library.document_info import DocumentInfo, FramingInfo, Published, Verification
from kvproxy.documents.library.document_listing import DocumentListing, ListedDocuments, ListingQuery
from kvproxy.documents.library.preconditions import UNCONDITIONAL, Preconditions
from kvproxy.documents.library.withdrawn_documents import Withdrawal
from kvproxy.errors import CannotFit, DocumentNotFound, KVProxyError
from kvproxy.exactness.quarantine import Quarantine
from kvproxy.exactness.verify import Verifier
from kvproxy.lifecycle.document_residency import DocumentResidency
from kvproxy.lifecycle.residency_reports import FramingWarmth, WarmReport
from kvproxy.manifests.manifest import ManifestSource
from kvproxy.publish import Publisher
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.document_quotas import DocumentQuotas
from kvproxy.publishing.pin_budget import FramingPin, PinLimit, PinReport
from kvproxy.publishing.version_endings import VersionEndings
from tests.documents.library.read_counts import ReadCounts
from tests.server.composer_double import END, CharComposer


class DictQuarantine(Quarantine):
    """A quarantine that has noted no time: the versions in it were put there by an earlier process."""

    def __init__(self) -> None:
        self._since = {}


class DictPublisher(Publisher):
    """A publisher with one version for each id in a dictionary; keeps its prefix in the fake backend."""

    def __init__(self, composer: CharComposer, backend: FakeBackend) -> None:
        self._characters = composer
        self._backend = backend
        self._infos: dict[DocumentRef, DocumentInfo] = {}
        self.refuse: KVProxyError | None = None
        self.manifests = None
        self.library = composer.library
        self.residency = DictResidency(self)
        self.quotas = DocumentQuotas(self.library, lambda _: DocumentQuota(versions=100), 4096)
        self.endings = DictEndings(self)
        self.quarantine = DictQuarantine()

    async def publish(
        self,
        id: str,
        text: str,
        visibility: Visibility | None,
        caller: Caller,
        progress: Callable[[int, int], None] | None = None,
        *,
        pinned: bool | None = None,
        origin: Origin = "published",
        arrival: Arrival | None = None,
        source: ManifestSource | None = None,
        ttl_s: int | None = None,
        conditions: Preconditions = UNCONDITIONAL,
    ) -> Published:
        etag = checked_etag(id, text, max_text=2**20)
        ref = DocumentRef(id, 1)
        known = ref in self._infos
        conditions.check(self._infos[ref].etag if known else None, id)
        kept = await self._backend.keep(self._characters.framing(text), PUBLIC, progress)
        if self.refuse is not None:
            raise self.refuse
        self._characters.texts[ref] = text
        framing = FramingInfo(
            "system", len(kept.token_ids), len(kept.token_ids), kept.bytes, Residency(len(kept.token_ids))
        )
        self._infos[ref] = DocumentInfo(
            id, 1, True, etag, visibility or "public", len(text), len(text), 1_700_000_000, (framing,)
        )
        self._infos[ref] = replace(self._infos[ref], pinned=bool(pinned), expires=ttl_s)
        return Published(self._infos[ref], not known, kept.prefill_s)

    def change(self, info: DocumentInfo) -> None:
        self._infos[DocumentRef(info.id, info.version)] = info

    async def list(self, caller: Caller) -> list[DocumentInfo]:
        return list(self._infos.values())

    async def listed(self, caller: Caller, query: ListingQuery) -> ListedDocuments:
        return DocumentListing(self.library, ReadCounts()).find(caller, query)

    async def views(self, refs: Iterable[DocumentRef], caller: Caller) -> builtins.list[DocumentInfo]:
        return [self._infos[ref] for ref in refs if ref in self._infos]

    async def prepare_lists(self) -> None:
        pass

    async def get(self, ref: DocumentRef, caller: Caller) -> DocumentInfo:
        info = self._infos.get(replace(ref, version=ref.version or 1))
        if info is None:
            raise DocumentNotFound(str(ref))
        return info

    async def text(self, ref: DocumentRef, caller: Caller) -> str:
        info = await self.get(ref, caller)
        return self._characters.texts[DocumentRef(info.id, info.version)]

    async def delete(
        self, ref: DocumentRef, caller: Caller, conditions: Preconditions = UNCONDITIONAL
    ) -> None:
        info = await self.get(ref, caller)
        conditions.check(info.etag, str(ref))
        del self._infos[DocumentRef(info.id, info.version)]


class DictResidency(DocumentResidency):
    """Pins and warms the documents of a :class:`DictPublisher`: one page each, of which one can be pinned."""

    def __init__(self, publisher: DictPublisher) -> None:
        self._publisher = publisher
        self.pinned: set[str] = set()

    async def pin(self, ref: DocumentRef, caller: Caller, *, partial: bool = False) -> PinReport:
        id = (await self._publisher.get(ref, caller)).id
        if self.pinned - {id}:
            if not partial:
                raise CannotFit("documents may pin 0 more", param="pinned")
            return PinReport(f"{id}@1", (FramingPin("system", 1, 0, PinLimit.TENANT_BUDGET),), 1, 0, 0, 1)
        self.pinned.add(id)
        return PinReport(f"{id}@1", (FramingPin("system", 1, 1),), 1, 1, 0, 1)

    async def unpin(self, ref: DocumentRef, caller: Caller) -> PinReport:
        id = (await self._publisher.get(ref, caller)).id
        self.pinned.discard(id)
        return PinReport(f"{id}@1", (FramingPin("system", 1, 0),), 1, 0, 1 - len(self.pinned), 1)

    async def warm(
        self, ref: DocumentRef, caller: Caller, progress: Callable[[int, int], None] | None = None
    ) -> WarmReport:
        info = await self._publisher.get(ref, caller)
        if progress is not None:
            progress(info.tokens, info.tokens)
        warmth = FramingWarmth("system", info.tokens, 0, info.tokens, loaded=info.tokens, computed=0)
        return WarmReport(f"{info.id}@1", (warmth,), 0.5)


class DictEndings(VersionEndings):
    """Touches, revokes and names the documents of a :class:`DictPublisher`."""

    def __init__(self, publisher: DictPublisher) -> None:
        self._publisher = publisher
        self.aliases: set[tuple[str, str]] = set()

    async def touch(self, ref: DocumentRef, caller: Caller, ttl_s: int | None) -> DocumentRef:
        info = await self._publisher.get(ref, caller)
        self._publisher.change(replace(info, expires=ttl_s))
        return DocumentRef(info.id, info.version)

    async def revoke(self, ref: DocumentRef, caller: Caller, reason: str) -> list[DocumentRef]:
        info = await self._publisher.get(ref, caller)
        await self._publisher.delete(ref, caller)
        return [DocumentRef(info.id, info.version)]

    async def set_alias(
        self,
        id: str,
        alias: str,
        version: int | None,
        caller: Caller,
        conditions: Preconditions = UNCONDITIONAL,
    ) -> Document:
        info = await self._publisher.get(DocumentRef(id, version), caller)
        conditions.check(info.etag if (id, alias) in self.aliases else None, f"{id}@{alias}")
        self.aliases.add((id, alias))
        return Document(id, info.version, "", info.etag, "public", caller.scope, 1)

    async def drop_alias(
        self, id: str, alias: str, caller: Caller, conditions: Preconditions = UNCONDITIONAL
    ) -> None:
        if (id, alias) not in self.aliases:
            raise DocumentNotFound(f"{id}@{alias}")
        conditions.check((await self._publisher.get(DocumentRef(id, None), caller)).etag, f"{id}@{alias}")
        self.aliases.discard((id, alias))

    def withdrawn(self, caller: Caller) -> list[Withdrawal]:
        return []


class OneFramingVerifier(Verifier):
    """A verifier of the documents of a :class:`DictPublisher`, at the head of the system message only."""

    def __init__(self, composer: CharComposer, publisher: DictPublisher, backend: FakeBackend) -> None:
        self._characters = composer
        self._publisher = publisher
        self._backend = backend

    async def verify(
        self,
        ref: DocumentRef,
        caller: Caller,
        new_tokens: int = 24,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Verification]:
        info = await self._publisher.get(ref, caller)
        found = DocumentRef(info.id, info.version)
        prompt = Prompt((*self._characters.framing(self._characters.texts[found]), END))
        c = await self._backend.compare(prompt, caller, new_tokens, progress)
        return [
            Verification(
                str(found),
                "system",
                c.exact,
                "",
                c.cached_tokens,
                largest_difference=c.largest_difference,
                greedy_tokens=c.greedy_tokens,
            )
        ]
