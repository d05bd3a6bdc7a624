"""A retriever that finds the documents named in its query."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

from langchain_kvproxy import KVProxyRetriever

from .fake_documents import FakeProxy


class Found(BaseRetriever):
    """A retriever of the documents that the query names by id, in its order."""

    documents: dict[str, Document]
    calls: list[str] = Field(default_factory=list)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        self.calls.append("sync")
        return [self.documents[id] for id in query.split()]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        self.calls.append("async")
        return [self.documents[id] for id in query.split()]


class FoundK(Found):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int = 1
    ) -> list[Document]:
        return [self.documents[id] for id in query.split()][:k]


TEXTS = {id: Document(f"the text of {id} is this", id=id, metadata={"kept": id}) for id in "abcdef"}


def wrapped(proxy: FakeProxy, **options: Any) -> KVProxyRetriever:
    inner = options.pop("retriever", None) or Found(documents=TEXTS)
    return KVProxyRetriever(retriever=inner, client=proxy.client, **{"register": "never", **options})


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]
