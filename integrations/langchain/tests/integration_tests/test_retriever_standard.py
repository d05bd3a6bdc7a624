"""LangChain's standard suite for retrievers, around a vector store in memory, with a running proxy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_kvproxy import KVProxyClient, KVProxyRetriever

TEXTS = (
    "Employees have thirty days of leave a year",
    "We travel by train",
    "Lunch is at noon",
    "Doors close at six",
)


@pytest.fixture(autouse=True, scope="module")
def proxy() -> Iterator[None]:
    """A retriever works without a proxy, so these tests would pass without one too."""
    assert os.environ.get("KVPROXY_BASE_URL"), "set KVPROXY_BASE_URL to a running proxy"
    with KVProxyClient() as client:
        client.documents()
        yield
        for id in {info["id"] for info in client.documents() if info["id"].startswith("standard-")}:
            client.delete(id)


class TestKVProxyRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return KVProxyRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
        store.add_documents([Document(text, id=f"standard-{i}") for i, text in enumerate(TEXTS)])
        return {"retriever": store.as_retriever(), "max_tokens": 1000, "register": "always"}

    @property
    def retriever_query_example(self) -> str:
        return "How many days of leave do I have?"

    @pytest.fixture
    def retriever(self) -> Iterator[BaseRetriever]:
        """One that has reached the proxy at the end."""
        with KVProxyRetriever(**self.retriever_constructor_params) as retriever:
            yield retriever
            assert retriever._catalogue.reachable
