"""A proxy over the fake backend: characters as tokens, documents in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner

from kvproxy.backends.fake.fake_backend import FakeBackend, FakeMisses
from kvproxy.core import (
    Permission,
)
from kvproxy.explain.miss_explainer import MissExplainer
from kvproxy.explain.miss_report import MissReporter
from kvproxy.explain.previous_requests import PreviousRequests
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from kvproxy.server.app import build_app
from kvproxy.server.auth import Keyring
from kvproxy.server.components import Components
from kvproxy.server.market import Market
from kvproxy.server.middleware.connection import ConnectionRunner
from kvproxy.server.shutdown import Drain
from kvproxy.store.response_store import ResponseStore
from tests.server.composer_double import CharComposer as CharComposer
from tests.server.publisher_double import DictPublisher, OneFramingVerifier
from tests.server.upkeep_double import OneFault


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

    def check(self) -> list[str]:
        return []

    def drop_damaged(self) -> int:
        return 0

    def close(self) -> None:
        self.records.clear()


@dataclass
class Proxy:
    """Every part of a running proxy, for tests to look into."""

    backend: FakeBackend
    misses: FakeMisses
    composer: CharComposer
    publisher: DictPublisher
    responses: DictResponses
    components: Components
    events: list[str] = field(default_factory=list)

    @property
    def drain(self) -> Drain:
        """The count of requests that are in flight."""
        return self.components.drain


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
    events: list[str] = []
    components = Components(
        created=1_700_000_000,
        pipeline=Pipeline(models=[ServedModel.of(backend, composer)], misses=misses, default_max_tokens=64),
        ready=backend.ready,
        publisher=publisher,
        verifier=OneFramingVerifier(composer, publisher, backend),
        responses=responses,
        keyring=_keyring(api_keys, permissions, market),
        market=market,
        drain=Drain(drain_timeout_s),
        max_body=max_body,
        keepalive_s=keepalive_s,
        timeout_s=timeout_s,
        cors_origins=cors_origins,
        aliases=aliases or {},
        reporters={"fake": _reporter(composer)},
        upkeep=OneFault(),
        lifespan=(_recorded(events),),
    )
    return Proxy(backend, misses, composer, publisher, responses, components, events)


def _reporter(composer: CharComposer) -> MissReporter:
    previous = PreviousRequests(ttl_s=3600, max_requests=8, max_memory=2**20)
    explainer = MissExplainer(composer.library, composer.decode, previous)
    return MissReporter(explainer, composer.library, composer.encode, composer.decode)


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
