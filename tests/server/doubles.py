"""A proxy over the fake backend: characters as tokens, documents in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.core import (
    HERMES,
    PUBLIC,
    Caller,
    DocumentPart,
    DocumentRef,
    Message,
    Permission,
    Prompt,
    Reasoning,
    Span,
    TextRequest,
    Visibility,
)
from kvproxy.core.document_quota import DocumentQuota
from kvproxy.core.pages import Residency
from kvproxy.documents.library.document import Document, Origin, checked_etag
from kvproxy.documents.library.document_info import DocumentInfo, FramingInfo, Published, Verification
from kvproxy.documents.library.library import Library
from kvproxy.documents.library.preconditions import UNCONDITIONAL, Preconditions
from kvproxy.documents.library.withdrawn_documents import Withdrawal
from kvproxy.documents.prompts.compose import Composer
from kvproxy.errors import CannotFit, DocumentNotFound, InvalidRequest, KVProxyError
from kvproxy.exactness.verify import Verifier
from kvproxy.explain.miss_explainer import MissExplainer
from kvproxy.explain.miss_report import MissReporter
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.lifecycle.document_residency import DocumentResidency
from kvproxy.lifecycle.residency_reports import FramingWarmth, WarmReport
from kvproxy.manifests.manifest import ManifestSource
from kvproxy.pipeline import Pipeline, Request
from kvproxy.publish import Publisher
from kvproxy.publishing.arrivals import Arrival
from kvproxy.publishing.document_quotas import DocumentQuotas
from kvproxy.publishing.pin_budget import FramingPin, PinLimit, PinReport
from kvproxy.publishing.version_endings import VersionEndings
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.market import Market
from kvproxy.server.middleware.connection import ConnectionRunner
from kvproxy.server.shutdown import Drain
from kvproxy.store.stored_responses import ResponseStore
from tests.server.upkeep_double import OneFault

_ROLE_TOKENS = {"system": 2_000_000, "user": 2_000_001, "assistant": 2_000_002, "tool": 2_000_003}
_END = 2_000_004
_START = 2_000_005


class CharComposer(Composer):
    """A composer with one token for each character; a known text at the front of the first message is a document.

    A mark ends with its message's text. ``reasoning`` and ``tool_format`` are those of every prompt.
    """

    def __init__(self) -> None:
        self.library = Library()  # without a document: nothing is ever withdrawn
        self.texts: dict[DocumentRef, str] = {}
        self.reasoning: Reasoning = "none"
        self.tool_format = HERMES

    async def compose_async(self, request: Request, caller: Caller, limit: int | None = None) -> Prompt:
        if isinstance(request, TextRequest):
            text = request.prompt
            return Prompt(tuple(map(ord, text)) if isinstance(text, str) else text)
        tokens: list[int] = []
        marks: list[int] = []
        for message in request.messages:
            tokens += [_ROLE_TOKENS[message.role], *map(ord, self._text(message))]
            marks += [len(tokens)] * any(part.mark for part in message.content)
            tokens += [ord(c) for call in message.tool_calls for c in f"{call.name}{call.arguments}"] + [_END]
        first = self._text(request.messages[0])
        known = [(ref, text) for ref, text in self.texts.items() if first.startswith(text)]
        spans = tuple(Span(ref, 1, 1 + len(text), PUBLIC) for ref, text in known[:1])
        ids = (*tokens, _ROLE_TOKENS["assistant"])
        return Prompt(ids, spans, tuple(marks), self.reasoning, self.tool_format)

    def plain_call(self, request: Request, caller: Caller) -> dict[str, Any]:
        if isinstance(request, TextRequest):
            return {"messages": [{"role": "user", "content": request.prompt}]}
        return {"messages": [{"role": m.role, "content": self._text(m)} for m in request.messages]}

    def encode_prompt(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [_START] * add_special_tokens + [ord(c) for c in text]

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    async def predicted(self, text: str, most: int) -> tuple[int, ...]:
        return tuple(map(ord, text[:most]))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.token_texts(ids))

    def token_texts(self, ids: Sequence[int]) -> list[str]:
        if not all(i <= _START for i in ids):
            raise InvalidRequest("Invalid 'tokens': no such token.", param="tokens")
        return ["" if i == _START else chr(i) if i < 0x110000 else f"<{i}>" for i in ids]

    def framing(self, text: str) -> tuple[int, ...]:
        """Return the tokens of the document at the head of the system message."""
        return (_ROLE_TOKENS["system"], *map(ord, text))

    def _text(self, message: Message) -> str:
        texts: list[str] = []
        for part in message.content:
            if isinstance(part, DocumentPart):
                if part.document not in self.texts:
                    raise DocumentNotFound(str(part.document), param="messages")
                texts.append(self.texts[part.document])
            else:
                texts.append(part.text)
        return "\n".join(texts)


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
        prompt = Prompt((*self._characters.framing(self._characters.texts[found]), _END))
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


class DictResponses(ResponseStore):
    """A response store in a dictionary."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], bytes] = {}

    def put(self, scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        self.records[scope, id] = record
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def get(self, scope: str, id: str) -> bytes | None:
        return self.records.get((scope, id))

    async def delete(self, scope: str, id: str) -> bool:
        return self.records.pop((scope, id), None) is not None


@dataclass
class Proxy:
    """Every part of a running proxy, for tests to look into."""

    backend: FakeBackend
    misses: FakeMisses
    composer: CharComposer
    publisher: DictPublisher
    responses: DictResponses
    drain: Drain
    components: Components
    events: list[str] = field(default_factory=list)


def make_proxy(
    *,
    api_keys: tuple[tuple[str, str], ...] = (),
    max_body: int = 2**20,
    keepalive_s: float = 5.0,
    timeout_s: float = 60.0,
    drain_timeout_s: float = 5.0,
    cors_origins: tuple[str, ...] = ("loopback",),
    aliases: Mapping[str, str] | None = None,
    permissions: Mapping[str, frozenset[Permission]] | None = None,
    market: Market | None = None,
    **backend_options: Any,
) -> Proxy:
    backend = FakeBackend(**backend_options)
    misses = FakeMisses(backend, upstreams=("gpt-far",))
    composer = CharComposer()
    publisher = DictPublisher(composer, backend)
    responses = DictResponses()
    drain = Drain(drain_timeout_s)
    pipeline = Pipeline(composer=composer, local=backend, misses=misses, default_max_tokens=64)
    previous = PreviousRequests(ttl_s=3600, max_requests=8, max_memory=2**20)
    explainer = MissExplainer(publisher.library, composer.decode, previous)
    events: list[str] = []
    components = Components(
        served_name="fake",
        created=1_700_000_000,
        pipeline=pipeline,
        ready=backend.ready,
        publisher=publisher,
        verifier=OneFramingVerifier(composer, publisher, backend),
        responses=responses,
        keyring=_keyring(api_keys, permissions, market),
        market=market,
        drain=drain,
        max_body=max_body,
        keepalive_s=keepalive_s,
        timeout_s=timeout_s,
        cors_origins=cors_origins,
        aliases=aliases or {},
        reporter=MissReporter(explainer, publisher.library, composer.encode, composer.decode),
        upkeep=OneFault(),
        lifespan=(_recorded(events),),
    )
    return Proxy(backend, misses, composer, publisher, responses, drain, components, events)


def _keyring(
    keys: tuple[tuple[str, str], ...],
    permissions: Mapping[str, frozenset[Permission]] | None,
    market: Market | None,
) -> Keyring:
    return Keyring(keys, permissions=permissions, accounts=None if market is None else market.accounts)


def _recorded(events: list[str]) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        events.append("start")
        yield
        events.append("stop")

    return lifespan


Http = TestClient[Any, Any]


class RealServer(TestServer):
    """aiohttp's test server on the connections of ``kvproxy serve``."""

    async def _make_runner(self, **settings: Any) -> BaseRunner:
        return ConnectionRunner(self.app, **settings)


@asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[Http]:
    """Serve a proxy on loopback; at the end check that no generation, page or request is left."""
    async with TestClient(RealServer(build_app(proxy.components))) as client:
        yield client
        await eventually(lambda: proxy.backend.check() == [])
    assert proxy.backend.check() == []
    assert proxy.drain.in_flight == 0


async def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait until another task makes the condition true."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  any state of the proxy may be waited for, not all have events
            await asyncio.sleep(0.005)


def ask(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """Return a request body with one user message."""
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **fields}
