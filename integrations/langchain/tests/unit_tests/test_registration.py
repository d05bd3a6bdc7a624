"""Registration: documents that the proxy lacks are published in the background."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time

import httpx
import pytest
from langchain_core.documents import Document

from langchain_kvproxy import (
    KVPROXY_DOCUMENT,
    KVProxyRetriever,
    text_digest,
)
from langchain_kvproxy._document_catalogue import DocumentCatalogue, KnownDocument
from langchain_kvproxy._registration import Registration

from .fake_documents import FakeProxy, refusal
from .fake_retriever import TEXTS, Found, ids, wrapped


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


def test_always_publishes_what_was_returned_and_the_next_query_knows_it(proxy: FakeProxy) -> None:
    retriever = wrapped(proxy, register="always")
    assert KVPROXY_DOCUMENT not in retriever.invoke("a")[0].metadata
    assert retriever.flush(10)
    assert retriever.invoke("a")[0].metadata[KVPROXY_DOCUMENT] == "a@1"
    assert proxy.documents["a"][0]["visibility"] == "private", "nobody else reads what was published unasked"
    assert proxy.asked("POST", "/kv/v1/documents") == 1
    retriever.close()


def test_sightings_and_never(proxy: FakeProxy) -> None:
    with wrapped(proxy, register=3, visibility=None) as retriever, wrapped(proxy) as never:
        for seen in range(1, 4):
            retriever.invoke("a")
            never.invoke("a")
            assert retriever.flush(10)
            assert ("a" in proxy.documents) == (seen == 3)
    assert proxy.documents["a"][0]["visibility"] == "public"
    with pytest.raises(ValueError, match="register"):
        wrapped(proxy, register=0)


def test_parts_of_one_source_are_documents_and_not_versions_of_one(proxy: FakeProxy) -> None:
    parts = {id: Document(f"part {id}", metadata={"source": "book.md"}) for id in "ab"}
    with wrapped(proxy, retriever=Found(documents=parts), register="always") as retriever:
        retriever.invoke("a b")
    assert set(proxy.documents) == {f"book.md/{text_digest(f'part {id}')[:8]}" for id in "ab"}
    with wrapped(
        proxy, retriever=Found(documents={"a": Document("new", id="a")}), register="always"
    ) as retriever:
        proxy.add("a", "old")
        retriever.invoke("a")
    assert len(proxy.documents["a"]) == 2, "a document with its own id gets a new version"


def test_an_id_of_somebody_else_is_not_insisted_on(proxy: FakeProxy) -> None:
    proxy.refuses["a"] = refusal(403, "permission_denied")
    with wrapped(proxy, register="always") as retriever:
        retriever.invoke("a")
    assert list(proxy.documents) == [f"a/{text_digest(TEXTS['a'].page_content)[:8]}"]


@pytest.mark.parametrize(
    ("status", "code", "times"), [(400, "document_rejected", 1), (503, "storage_full", 2)]
)
def test_a_refused_document_is_logged_and_tried_again_only_where_that_may_help(
    status: int, code: str, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    proxy, now = FakeProxy(), [0.0]
    proxy.refuses["a"] = refusal(status, code)
    registration = Registration(
        proxy.client, DocumentCatalogue(proxy.client, 30.0), None, clock=lambda: now[0]
    )
    for at in (0.0, 1.0, 60.0):
        now[0] = at
        registration.offer(TEXTS["a"])
        registration.idle().result(10)
    assert proxy.asked("POST", "/kv/v1/documents") == times
    assert len([r for r in caplog.records if f"{code} happened" in r.getMessage()]) == times


def test_a_slow_publish_delays_no_query_and_close_waits_for_it(proxy: FakeProxy) -> None:
    proxy.gate.clear()
    retriever = wrapped(proxy, register="always")
    began = time.monotonic()
    retriever.invoke("a b")
    retriever.invoke("a b")
    assert time.monotonic() - began < 2 and proxy.documents == {}
    assert not retriever.flush(0.05)
    threading.Timer(0.1, proxy.gate.set).start()
    retriever.close()
    assert sorted(proxy.documents) == ["a", "b"] and proxy.asked("POST", "/kv/v1/documents") == 2
    assert ids(retriever.invoke("c")) == ["c"]
    assert retriever.flush(0) and "c" not in proxy.documents


def test_close_with_a_limit_drops_what_has_not_begun(proxy: FakeProxy) -> None:
    proxy.gate.clear()
    retriever = wrapped(proxy, register="always")
    retriever.invoke("a b c")
    until = time.monotonic() + 10
    while not proxy.asked("POST", "/kv/v1/documents"):  # the first one has begun
        assert time.monotonic() < until
        time.sleep(0.001)
    retriever.close(timeout=0.05)
    proxy.gate.set()
    assert retriever.flush(10)
    assert list(proxy.documents) == ["a"]


async def test_aclose_waits_without_holding_up_the_loop(proxy: FakeProxy) -> None:
    proxy.gate.clear()
    ticks = 0
    async with wrapped(proxy, register="always") as retriever:
        await retriever.ainvoke("a")
        closing = asyncio.create_task(retriever.aclose())
        while ticks < 5:
            await asyncio.sleep(0.01)
            ticks += 1
        assert not closing.done()
        proxy.gate.set()
        await asyncio.wait_for(closing, 10)
    assert list(proxy.documents) == ["a"]


def test_no_task_outlives_its_loop_and_what_a_loop_found_is_published_after_it(proxy: FakeProxy) -> None:
    proxy.gate.clear()
    retriever = wrapped(proxy, register="always")

    async def ask(ids: str) -> int:
        await retriever.ainvoke(ids)
        return len(asyncio.all_tasks())

    assert asyncio.run(ask("a b")) == 1, "its own"
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(ask("b c")) == 1
    loop.close()
    proxy.gate.set()
    asyncio.run(retriever.aclose())
    assert sorted(proxy.documents) == ["a", "b", "c"]


async def test_cancelling_a_wait_cancels_no_publish(proxy: FakeProxy) -> None:
    proxy.gate.clear()
    retriever = wrapped(proxy, register="always")
    await retriever.ainvoke("a")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await retriever.aflush()
    proxy.gate.set()
    await asyncio.wait_for(retriever.aflush(), 10)
    assert list(proxy.documents) == ["a"]


def test_threads_that_ask_at_once_publish_a_document_once(proxy: FakeProxy) -> None:
    with wrapped(proxy, register="always") as retriever:
        found = retriever.batch(["a b c d e f", "f e d c b a"] * 10)
    assert {tuple(ids(documents)) for documents in found} == {tuple("abcdef")}
    assert proxy.asked("POST", "/kv/v1/documents") == 6


def test_a_retriever_that_is_dropped_leaves_neither_thread_nor_connection() -> None:
    retriever = KVProxyRetriever(
        retriever=Found(documents=TEXTS), base_url="http://127.0.0.1:9", register="always"
    )
    http = retriever._proxy._http
    retriever.invoke("a")
    del retriever
    gc.collect()
    assert http.is_closed
    assert not [thread for thread in threading.enumerate() if thread.name == "kvproxy-registration"]


def test_a_refusal_told_in_the_middle_of_a_publish_is_final_too(proxy: FakeProxy) -> None:
    error = {"error": {"message": "too long", "code": "document_rejected"}}
    proxy.refuses["a"] = httpx.Response(200, content=f"event: error\ndata: {json.dumps(error)}\n\n")
    now = [0.0]
    registration = Registration(
        proxy.client, DocumentCatalogue(proxy.client, 30.0), None, clock=lambda: now[0]
    )
    for at in (0.0, 60.0):
        now[0] = at
        registration.offer(TEXTS["a"])
        registration.idle().result(10)
    assert proxy.asked("POST", "/kv/v1/documents") == 1


def test_a_proxy_that_goes_away_ends_the_queue_with_one_warning(
    proxy: FakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    retriever = wrapped(proxy, register="always")
    retriever.invoke("f")
    assert retriever.flush(10)
    proxy.gate.clear()
    retriever.invoke("a b c d e")
    proxy.fault = httpx.ConnectError("refused")
    proxy.gate.set()
    retriever.close()
    warned = [r.getMessage() for r in caplog.records if "was not published" in r.getMessage()]
    assert len(warned) == 1 and set(proxy.documents) <= {"f", "a"}


def test_a_list_that_was_asked_for_before_a_publish_does_not_hide_it(proxy: FakeProxy) -> None:
    """Two retrievals at once: the slower one's list lacks the document that the faster one published meanwhile."""
    knowledge = DocumentCatalogue(proxy.client, 30.0)
    listed = proxy.client.documents()
    since = knowledge._added
    with wrapped(proxy, register="always") as retriever:
        retriever.invoke("a")
    knowledge.add(KnownDocument.of(proxy.documents["a"][0]))
    knowledge._learn(listed, since)
    assert knowledge.find(TEXTS["a"]) is not None
    knowledge._learn([], knowledge._added)
    assert knowledge.find(TEXTS["a"]) is None, "a newer list is believed: it was deleted"
