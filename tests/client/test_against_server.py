"""The Python client against the real HTTP application, over the fake backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from kvproxy import AuthenticationFailed, Client, DocumentNotFound, RequestFailed
from tests.server.doubles import Proxy, client_of, make_proxy

T = TypeVar("T")

KEY = "a-key-of-16-chars"
TEXT = "The handbook says that everybody has thirty days. " * 20


async def using(proxy: Proxy, work: Callable[[Client], T], api_key: str | None = KEY) -> T:
    """Run ``work`` on a thread, with a client of the proxy, and return its result."""
    async with client_of(proxy) as http:
        url = str(http.make_url("/v1"))

        def called() -> T:
            with Client(url, api_key) as client:
                return work(client)

        return await asyncio.to_thread(called)


@pytest.fixture
def proxy() -> Proxy:
    return make_proxy(api_keys=(("alice", KEY),))


async def test_a_document_is_published_asked_about_and_deleted(proxy: Proxy) -> None:
    def life(client: Client) -> None:
        published = client.publish("handbook", TEXT)
        assert published["created"] and published["info"]["id"] == "handbook"
        assert [d["id"] for d in client.documents()] == ["handbook"]
        assert client.document("handbook", text=True)["text"] == TEXT
        assert client.served()["id"] == "fake"
        answer = client.ask("How many?", ["handbook@1"], instructions="Briefly.", max_tokens=8, temperature=0)
        assert answer.text and answer.model == "fake"
        assert answer.prompt_tokens > answer.cached_tokens >= len(TEXT)
        assert 'hit; key="handbook@1"' in answer.cache_status
        assert client.verify("handbook", tokens=4)["exact"]
        newest = next(iter(client.requests(last=1)))
        assert (newest["outcome"], newest["cached_tokens"]) == ("hit", answer.cached_tokens)
        client.delete("handbook")
        with pytest.raises(RequestFailed) as caught:
            client.document("handbook")
        assert (caught.value.kind, caught.value.http_status) == (DocumentNotFound, 404)

    await using(proxy, life)


async def test_an_unknown_key_is_told_by_its_kind(proxy: Proxy) -> None:
    def refused(client: Client) -> RequestFailed:
        with pytest.raises(RequestFailed) as caught:
            client.ask("Why?", model="fake")
        return caught.value

    failed = await using(proxy, refused, api_key="another-key-of-16")
    assert (failed.kind, failed.answered) == (AuthenticationFailed, 401)
