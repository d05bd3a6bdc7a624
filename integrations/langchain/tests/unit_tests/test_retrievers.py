from __future__ import annotations

import logging
import socket
import time
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import (
    BaseCallbackHandler,
)
from langchain_core.documents import Document

from langchain_kvproxy import (
    KVPROXY_DOCUMENT,
    KVPROXY_ORDER,
    KVPROXY_TOKENS,
    KVPROXY_VERSION,
    KVProxyRetriever,
    canonical,
    document_parts,
    text_digest,
)
from langchain_kvproxy._document_catalogue import DocumentCatalogue, KnownDocument

from .fake_documents import FakeProxy, refusal
from .fake_retriever import TEXTS, Found, FoundK, ids, wrapped


@pytest.fixture
def proxy() -> FakeProxy:
    return FakeProxy()


def test_one_order_whatever_the_query_says(proxy: FakeProxy) -> None:
    retriever = wrapped(proxy)
    assert ids(retriever.invoke("c a b a")) == ids(retriever.invoke("b c a")) == ["a", "b", "c"]


def test_most_shared_first_and_the_layouts_keep_it(proxy: FakeProxy) -> None:
    retriever = wrapped(proxy)
    retriever.invoke("a b c")
    for _ in range(6):
        retriever.invoke("c")
    found = retriever.invoke("a b c")
    assert ids(found) == ["c", "a", "b"]
    assert ids(canonical(reversed(found))) == ["c", "a", "b"]
    assert ids(wrapped(proxy, order="id").invoke("c b")) == ["b", "c"]


def test_metadata_says_what_the_proxy_knows_and_the_inner_documents_stay_as_they_were(
    proxy: FakeProxy,
) -> None:
    proxy.add("other", TEXTS["b"].page_content)
    before = {id: document.model_copy(deep=True) for id, document in TEXTS.items()}
    a, b = wrapped(proxy).invoke("a b")
    assert b.metadata == {
        "kept": "b",
        KVPROXY_DOCUMENT: "other@1",
        KVPROXY_VERSION: 1,
        KVPROXY_TOKENS: 6,
        KVPROXY_ORDER: 1,
    }
    assert a.metadata == {"kept": "a", KVPROXY_TOKENS: 6, KVPROXY_ORDER: 0}
    assert before == TEXTS


def test_a_reference_that_is_not_this_text_is_dropped_and_one_without_text_is_kept(proxy: FakeProxy) -> None:
    proxy.add("handbook", "all of it")
    chunk = Document("a part of it", metadata={KVPROXY_DOCUMENT: "handbook@1"})
    named = Document("", id="named", metadata={KVPROXY_DOCUMENT: "handbook@1"})
    gone = Document("", id="gone", metadata={KVPROXY_DOCUMENT: "handbook@9"})
    inner = Found(documents={"chunk": chunk, "named": named, "gone": gone})
    found = wrapped(proxy, retriever=inner).invoke("chunk named gone")
    references = {d.id: d.metadata.get(KVPROXY_DOCUMENT) for d in found}
    assert references == {None: None, "named": "handbook@1"}, "an unknown name without a text says nothing"


async def test_a_blank_page_is_left_out_and_the_others_keep_their_places(proxy: FakeProxy) -> None:
    blank = Document(" \n", metadata={"source": "scan.pdf", "page": 2})
    none = Document.model_construct(page_content=None, metadata={}, id=None)
    inner = Found(documents={**TEXTS, "blank": blank, "none": none})
    with wrapped(proxy, retriever=inner, k=2, register="always") as retriever:
        for found in (retriever.invoke("blank b none a"), await retriever.ainvoke("none blank a b")):
            assert ids(found) == ["a", "b"]
            assert [document.metadata[KVPROXY_ORDER] for document in found] == [0, 1]
            assert len(document_parts(found)) == 2


async def test_async_is_native_and_both_pass_children_on(proxy: FakeProxy) -> None:
    class Runs(BaseCallbackHandler):
        def __init__(self) -> None:
            self.parents: list[Any] = []

        def on_retriever_start(self, *args: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
            self.parents.append(parent_run_id)

    inner, runs = Found(documents=TEXTS, calls=[]), Runs()
    retriever = wrapped(proxy, retriever=inner)
    retriever.invoke("a", {"callbacks": [runs]})
    await retriever.ainvoke("a", {"callbacks": [runs]})
    assert inner.calls == ["sync", "async"]
    assert [parent is not None for parent in runs.parents] == [False, True, False, True]


def test_k_reaches_a_retriever_that_knows_it_and_limits_one_that_does_not(proxy: FakeProxy) -> None:
    assert ids(wrapped(proxy, k=2).invoke("c b a")) == ["b", "c"]
    assert ids(wrapped(proxy).invoke("c b a", k=1)) == ["c"]
    assert ids(wrapped(proxy, retriever=FoundK(documents=TEXTS)).invoke("c b a", k=3)) == ["a", "b", "c"]
    assert ids(wrapped(proxy, retriever=FoundK(documents=TEXTS)).invoke("c b a")) == ["c"]


def test_the_budget_keeps_the_most_relevant_that_fit(proxy: FakeProxy) -> None:
    documents = TEXTS | {"long": Document("word " * 50, id="long")}
    proxy.add("long", "word " * 50)
    retriever = wrapped(proxy, retriever=Found(documents=documents), max_tokens=45)
    assert ids(retriever.invoke("d long c b a")) == ["b", "c", "d"], "6 tokens and 8 for the seam each"
    retriever.invoke("d c b a")
    assert proxy.asked("POST", "/tokenize") == 4, "once a text; what is published has its count"


def test_without_the_proxy_the_budget_is_kept_by_a_guess(proxy: FakeProxy) -> None:
    proxy.fault = httpx.ConnectError("refused")
    (one,) = wrapped(proxy, max_tokens=30).invoke("b a")
    assert one.id == "b" and KVPROXY_TOKENS not in one.metadata


@pytest.mark.parametrize(
    "fault",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        refusal(503, "not_ready"),
        httpx.Response(200),
    ],
)
async def test_a_proxy_that_does_not_answer_costs_references_and_one_warning(
    proxy: FakeProxy, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fault = fault
    retriever = wrapped(proxy, register="always")
    for _ in range(3):
        assert ids(retriever.invoke("b a")) == ids(await retriever.ainvoke("a b")) == ["a", "b"]
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1
    assert len(proxy.requests) == 1, "it is left alone for a while"
    retriever.close()


def test_what_is_known_is_asked_once_and_again_when_it_has_aged() -> None:
    proxy, now = FakeProxy(), [0.0]
    knowledge = DocumentCatalogue(proxy.client, 30.0, clock=lambda: now[0])
    for _ in range(3):
        knowledge.refresh()
    assert proxy.requests == [("GET", "/kv/v1/documents")]
    proxy.add("a", TEXTS["a"].page_content)
    now[0] = 31.0
    knowledge.refresh()
    assert knowledge.find(TEXTS["a"]) is not None
    proxy.fault = httpx.ConnectError("refused")
    now[0] = 62.0
    knowledge.refresh()
    assert knowledge.find(TEXTS["a"]) is None and not knowledge.reachable
    proxy.fault = None
    knowledge.refresh()
    assert not knowledge.reachable
    now[0] = 68.0
    knowledge.refresh()
    assert knowledge.find(TEXTS["a"]) is not None


def test_of_two_documents_with_one_text_the_current_one_is_named() -> None:
    proxy = FakeProxy()
    proxy.add("a", "text")
    proxy.add("a", "text, newer")
    proxy.add("b", "text")
    knowledge = DocumentCatalogue(proxy.client, 30.0)
    knowledge.refresh()
    assert knowledge.find(Document("text")) == KnownDocument("b", 1, text_digest("text"), 1, True)


def test_a_text_that_no_request_can_hold_is_returned_all_the_same(proxy: FakeProxy) -> None:
    inner = Found(documents={"odd": Document("lone \ud800 surrogate", id="odd")})
    with wrapped(proxy, retriever=inner, register="always") as retriever:
        assert ids(retriever.invoke("odd")) == ["odd"]


async def test_a_server_that_never_answers_delays_one_query_by_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for ask in ("invoke", "ainvoke"):
            async with KVProxyRetriever(
                retriever=Found(documents=TEXTS), base_url=url, timeout=1.0, register="always"
            ) as retriever:
                took = []
                for _ in range(2):
                    began = time.monotonic()
                    found = retriever.invoke("b a") if ask == "invoke" else await retriever.ainvoke("b a")
                    took.append(time.monotonic() - began)
                    assert ids(found) == ["a", "b"]
                assert 0.9 < took[0] < 5 and took[1] < 0.9


async def test_many_queries_at_once_on_one_loop(proxy: FakeProxy) -> None:
    async with wrapped(proxy, register=2, max_tokens=100) as retriever:
        found = await retriever.abatch(["a b c", "c a b", "b d"] * 10)
        assert {tuple(ids(documents)) for documents in found} == {("a", "b", "c"), ("b", "d")}
    assert sorted(proxy.documents) == ["a", "b", "c", "d"]
