"""Retrieval and publishing at a running proxy: KVPROXY_BASE_URL, KVPROXY_API_KEY, KVPROXY_MODEL."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager
from langchain_core.messages import HumanMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from langchain_kvproxy import (
    KVPROXY_DOCUMENT,
    KVPROXY_TOKENS,
    DocumentUnknown,
    KVProxyClient,
    KVProxyRetriever,
    apublish_documents,
    place_documents,
    publish_documents,
    text_digest,
)


@pytest.fixture(scope="module")
def client() -> Iterator[KVProxyClient]:
    assert os.environ.get("KVPROXY_BASE_URL"), "set KVPROXY_BASE_URL to a running proxy"
    with KVProxyClient() as client:
        yield client


@pytest.fixture
def documents(client: KVProxyClient) -> Iterator[list[Document]]:
    """Three that the proxy has never seen, long enough to be found again; deleted afterwards."""
    run = uuid.uuid4().hex
    yield [
        Document(
            f"Rule {n} of {run}. "
            + f"The {n} of us go by train, and the train goes by {n}; " * 20
            + "so it is",
            id=f"{run}/{n}",
        )
        for n in ("first", "second", "third")
    ]
    for id in {info["id"] for info in client.documents() if info["id"].startswith(run)}:
        client.delete(id)


def retriever_of(documents: list[Document], **options: Any) -> KVProxyRetriever:
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
    store.add_documents(documents)
    return KVProxyRetriever(retriever=store.as_retriever(), **options)


def cached_tokens(documents: list[Document], question: str) -> int:
    model = ChatOpenAI(
        model=os.environ["KVPROXY_MODEL"],
        base_url=os.environ["KVPROXY_BASE_URL"].rstrip("/").removesuffix("/v1") + "/v1",
        api_key=SecretStr(os.environ.get("KVPROXY_API_KEY") or "none"),
        max_completion_tokens=2,
    )
    answer = model.invoke(place_documents([HumanMessage(question)], documents))
    assert answer.usage_metadata is not None
    return int(answer.usage_metadata["input_token_details"].get("cache_read", 0))


def test_what_was_found_is_published_and_then_a_hit_by_reference(
    client: KVProxyClient, documents: list[Document]
) -> None:
    with retriever_of(documents, register="always") as retriever:
        first = retriever.invoke("by train?")
        assert [d.metadata.get(KVPROXY_DOCUMENT) for d in first] == [None] * 3
        assert [d.metadata[KVPROXY_TOKENS] for d in first] == [
            client.count_tokens(d.page_content) for d in first
        ]
        assert retriever.flush(60)
        again = retriever.invoke("by car?")
        assert [d.metadata[KVPROXY_DOCUMENT] for d in again] == [f"{d.id}@1" for d in documents]
        assert [d.metadata[KVPROXY_TOKENS] for d in again] == [d.metadata[KVPROXY_TOKENS] for d in first]
        assert cached_tokens(again, "Who goes by train?") > 0.95 * again[0].metadata[KVPROXY_TOKENS]
        whole = sum(d.metadata[KVPROXY_TOKENS] for d in again)
        assert cached_tokens(retriever.invoke("the train?"), "And by car?") > 0.8 * whole
    assert {client.document(d.id or "")["visibility"] for d in documents} == {"private"}


async def test_the_budget_holds_by_the_proxys_count(client: KVProxyClient, documents: list[Document]) -> None:
    one = await client.acount_tokens(documents[0].page_content)
    async with retriever_of(documents, register="never", max_tokens=int(2.5 * one)) as retriever:
        assert len(await retriever.ainvoke("by train?")) == 2
    assert not [i for i in client.documents() if i["id"] in {d.id for d in documents}]


async def test_publishing_is_incremental_by_hash_and_cleans_up(
    client: KVProxyClient, documents: list[Document]
) -> None:
    records = InMemoryRecordManager(namespace="live")
    await records.acreate_schema()
    counts = publish_documents(documents, record_manager=records, cleanup="full", visibility="private")
    assert (counts.added, counts.references) == (3, tuple(f"{d.id}@1" for d in documents))
    assert client.document(counts.references[0])["etag"] == text_digest(documents[0].page_content)
    first, second, _ = documents
    changed = second.model_copy(update={"page_content": second.page_content + "Not on Sundays"})
    counts = await apublish_documents([first, changed], record_manager=records, cleanup="full")
    assert (counts.added, counts.updated, counts.skipped, counts.deleted) == (0, 1, 1, 2)
    assert counts.references == (f"{first.id}@1", f"{second.id}@2")
    assert client.document(counts.references[1])["visibility"] == "private"
    for gone in (f"{second.id}@1", documents[2].id or ""):
        with pytest.raises(DocumentUnknown):
            client.document(gone)
