from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from langchain_kvproxy import DocumentUnknown, KVProxyClient, KVProxyError, ProxyRefused, ProxyUnreachable
from langchain_kvproxy._cache_status import cache_report, settled

from .fake_documents import FakeProxy, refusal


def client_of(answer: httpx.Response | httpx.HTTPError) -> KVProxyClient:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return httpx.Response(answer.status_code, content=answer.content)  # one is read once

    return KVProxyClient("http://proxy.test/v1/", transport=httpx.MockTransport(handler))


@pytest.mark.parametrize("base_url", ["http://p:1", "http://p:1/", "http://p:1/v1", "http://p:1/v1/"])
def test_root_with_or_without_v1(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KVProxyClient(base_url).root == "http://p:1"
    monkeypatch.setenv("KVPROXY_BASE_URL", base_url)
    assert KVProxyClient().root == "http://p:1"


def test_publishes_lists_and_deletes_in_one_loop_after_another() -> None:
    fake = FakeProxy()
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    assert fake.client.publish("handbook", "Thirty days\u2028of leave", progress=progress)["created"]
    again = asyncio.run(fake.client.apublish("handbook", "Thirty days\u2028of leave", progress=progress))
    assert not again["created"]
    assert seen == [(1, 2), (1, 2)]
    assert [d["id"] for d in asyncio.run(fake.client.adocuments())] == ["handbook"]
    assert fake.client.count_tokens("one two") == asyncio.run(fake.client.acount_tokens("one two")) == 2
    fake.client.delete("handbook")
    with pytest.raises(DocumentUnknown):
        asyncio.run(fake.client.adelete("handbook"))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (httpx.ConnectError("refused"), ProxyUnreachable, "kvproxy serve"),
        (httpx.ReadTimeout("slow"), ProxyUnreachable, "longer timeout"),
        (httpx.ReadError("broke"), ProxyUnreachable, "broke"),
        (httpx.Response(200, text="<html>"), ProxyUnreachable, "another server"),
        (httpx.Response(200, json={"hello": 1}), ProxyUnreachable, "another server"),
        (httpx.Response(502, text="bad"), ProxyRefused, "502"),
        (refusal(401, "invalid_api_key"), ProxyRefused, "KVPROXY_API_KEY"),
        (refusal(404, "document_not_found"), DocumentUnknown, "happened"),
    ],
)
def test_errors_say_what_to_do(
    answer: httpx.Response | httpx.HTTPError, kind: type[KVProxyError], says: str
) -> None:
    client = client_of(answer)
    with pytest.raises(kind, match=says):
        client.documents()
    with pytest.raises(kind, match=says):
        asyncio.run(client.adocuments())


@pytest.mark.parametrize(
    ("events", "kind", "says"),
    [
        (
            "event: error\ndata: " + json.dumps({"error": {"message": "full", "code": "storage_full"}}),
            ProxyRefused,
            "full",
        ),
        (": keepalive", ProxyUnreachable, "without a result"),
    ],
)
def test_a_publish_that_fails_on_its_way(events: str, kind: type[KVProxyError], says: str) -> None:
    client = client_of(httpx.Response(200, text=events + "\n\n"))
    with pytest.raises(kind, match=says):
        client.publish("handbook", "text")
    with pytest.raises(kind, match=says):
        asyncio.run(client.apublish("handbook", "text"))


@pytest.mark.parametrize(
    ("value", "status", "reason", "document", "tokens"),
    [
        ('kvproxy; hit; key="a/b@12"; detail="tokens=7,exact"', "hit", None, ("a/b", 12), 7),
        ('kvproxy; hit; detail="tokens=7"', "hit", None, (None, None), 7),
        ('kvproxy; fwd=miss; key="a"; detail="new-preamble"', "miss", "new-preamble", ("a", None), 0),
        ('kvproxy; fwd=miss; collapsed; key="a@1"; detail="tokens=7"', "collapsed", None, ("a", 1), 7),
        ("kvproxy; fwd=bypass", "bypass", None, (None, None), 0),
        ('kvproxy; detail="pending"', "pending", None, (None, None), 0),
        (
            'cdn; hit, kvproxy; fwd=miss; detail="no-document", edge; fwd=uri-miss',
            "miss",
            "no-document",
            (None, None),
            0,
        ),
    ],
)
def test_cache_status(
    value: str, status: str, reason: str | None, document: tuple[str | None, int | None], tokens: int
) -> None:
    report = cache_report({"cache-status": value})

    assert report is not None
    assert (report["status"], report["reason"], report["tokens"]) == (status, reason, tokens)
    assert (report["document"], report["version"]) == document
    assert report["exact"] == ("exact" in value)
    assert report["cause"] is None


def test_a_miss_tells_its_cause() -> None:
    report = cache_report(
        {"cache-status": 'kvproxy; fwd=miss; detail="no-document; moved=h@1; cause=timestamp"'}
    )
    assert report is not None
    assert (report["status"], report["reason"], report["cause"]) == ("miss", "no-document", "timestamp")


@pytest.mark.parametrize(
    ("value", "cached", "status", "tokens", "expected", "cause"),
    [
        ('kvproxy; hit; key="h@3"; detail="tokens=896,block=128"', 896, "hit", 896, None, "rounded-to-block"),
        ('kvproxy; hit; key="h@3"; detail="tokens=384; cause=evicted"', 384, "hit", 384, None, "evicted"),
        ('kvproxy; hit; key="h@3"; detail="expected=896"', 384, "hit", 384, 896, None),
        ('kvproxy; hit; key="h@3"; detail="expected=896"', 0, "miss", 0, 896, None),
        (
            'kvproxy; fwd=miss; key="h@3"; detail="not-resident; cause=not-on-replica"',
            0,
            "miss",
            0,
            None,
            "not-on-replica",
        ),
    ],
)
def test_a_fleet_is_reported_by_what_its_replica_told(
    value: str, cached: int, status: str, tokens: int, expected: int | None, cause: str | None
) -> None:
    report = cache_report({"cache-status": value})
    assert report is not None
    told = settled(report, cached)
    assert (told["status"], told["tokens"], told["expected"], told["cause"]) == (
        status,
        tokens,
        expected,
        cause,
    )
    assert told["reason"] == ("not-resident" if "fwd=miss" in value else None)
    assert told["exact"] is False


def test_other_caches_say_nothing_of_ours() -> None:
    assert cache_report({"cache-status": "cdn; hit"}) is None
    assert cache_report({}) is None
