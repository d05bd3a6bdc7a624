"""`KVProxyRetriever`: a retriever that orders its documents so that prompts made of them share prefixes."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.utils import get_pydantic_field_names
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator

from langchain_kvproxy._arguments import refuse_unknown
from langchain_kvproxy._client import KVProxyClient
from langchain_kvproxy._document_catalogue import DocumentCatalogue
from langchain_kvproxy._ranking import Ranking
from langchain_kvproxy._registration import Registration
from langchain_kvproxy._token_budget import within_budget
from langchain_kvproxy.documents import (
    KVPROXY_DOCUMENT,
    KVPROXY_ORDER,
    KVPROXY_TOKENS,
    KVPROXY_VERSION,
    document_id,
    has_text,
    key_of,
    says_nothing,
    unique,
    without_repeats,
)

Register = Literal["always", "never"] | Annotated[int, Field(ge=1)]

_AT_ONCE = 8
"""Texts that are counted at the same time."""


class KVProxyRetriever(BaseRetriever):
    """A wrapper of any retriever that returns its documents in an order that keeps prefixes reusable.

    A prompt's tokens are reused up to the first that differs. So the same documents come in the same order for every
    query: those first that this retriever returns most often, each text once, within a token budget. A document
    that clearly comes to be returned more often than the one before it (more than twice as often) changes places
    with it, once; everything else stays, so the order does not oscillate. Where several processes answer from
    one proxy, `order="id"` gives all of them the same order.

    Each document is a copy with the proxy's metadata of its text: `kvproxy_document` (the reference,
    `"handbook@3"`), `kvproxy_version` and `kvproxy_tokens`; `kvproxy_order` is its place, which the prompt layouts of
    this package keep. Documents that the proxy lacks are published in the background, by the policy of `register`,
    and have a reference the next time. The proxy being down costs the references and a warning, never the answer.

    Setup:
        Start a proxy with `kvproxy serve`. `KVPROXY_BASE_URL` and `KVPROXY_API_KEY` are read where nothing else is
        given.

    Instantiate:
        ```python
        from langchain_core.documents import Document
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_core.vectorstores import InMemoryVectorStore
        from langchain_kvproxy import KVProxyRetriever

        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=16))
        store.add_documents(
            [
                Document("Employees have thirty days of leave a year", id="leave"),
                Document("We travel by train", id="travel"),
            ]
        )
        retriever = KVProxyRetriever(retriever=store.as_retriever(), max_tokens=2000, register="always")
        ```

    Usage:
        ```python
        for document in retriever.invoke("How many days of leave do I have?"):
            print(document.page_content, document.metadata.get("kvproxy_document"))
        ```

    Close, which waits until the found documents are published; so do `with` and `async with`:
        ```python
        retriever.close()
        ```

    Publishing is done by a thread that belongs to no event loop and ends when nothing is left to publish. A program
    that ends without closing its retriever may leave documents unpublished, and leaves nothing behind.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, populate_by_name=True)

    retriever: BaseRetriever
    """Finds the documents."""
    k: int | None = Field(default=None, ge=1)
    """At most this many documents; also an argument of `invoke`. Passed on to a retriever that takes it."""
    max_tokens: int | None = Field(default=None, ge=1)
    """At most this many tokens in all, by the proxy's count. The most relevant come first; one that no longer fits is
    left out."""
    registration: Register = Field(default=2, alias="register")
    """When to publish documents that the proxy lacks: `"always"`, `"never"`, or once returned this often."""
    visibility: Literal["public", "granted", "private"] | None = "private"
    """Readers of the documents published here: `"private"` is this API key alone, which the model then has to use too,
    `"granted"` those whom a grant of the proxy's lets in; `None` is the proxy's default."""
    order: Literal["shared", "id"] = "shared"
    """`"shared"`: most returned first. `"id"`: by `document_id`, the same in every process."""
    base_url: str | None = None
    """The proxy's root, with or without `/v1`; else `KVPROXY_BASE_URL`."""
    api_key: SecretStr | None = None
    """Else `KVPROXY_API_KEY`."""
    timeout: float = Field(default=2.0, gt=0)
    """Seconds that a query waits for the proxy, before the documents go without references."""
    refresh_s: float = Field(default=30.0, gt=0)
    """Greatest age of the list of the proxy's documents, in seconds. A deleted document is named for as long."""
    client: KVProxyClient | None = Field(default=None, exclude=True, repr=False)
    """A client to use instead of `base_url`, `api_key` and `timeout`; it is not closed here."""

    _proxy: KVProxyClient = PrivateAttr()
    _catalogue: DocumentCatalogue = PrivateAttr()
    _registration: Registration = PrivateAttr()
    _ranking: Ranking = PrivateAttr(default_factory=Ranking)
    _inner_takes: frozenset[str] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _known_arguments_only(cls, values: Any) -> Any:
        if isinstance(values, dict):
            refuse_unknown(cls.__name__, values, get_pydantic_field_names(cls))
        return values

    def model_post_init(self, context: Any, /) -> None:
        """Create the catalogue, the registration and, where none was given, a client that ends with the retriever."""
        super().model_post_init(context)
        key = self.api_key.get_secret_value() if self.api_key else None
        self._proxy = self.client or KVProxyClient(self.base_url, key, self.timeout)
        self._catalogue = DocumentCatalogue(self._proxy, self.refresh_s)
        self._registration = Registration(self._proxy, self._catalogue, self.visibility)
        self._inner_takes = _parameters(self.retriever)
        if self.client is None:  # at its exit the process takes its connections along
            weakref.finalize(self, self._registration.finally_do, self._proxy.close).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to publish; False when that took longer than `timeout` seconds."""
        try:
            self._registration.idle().result(timeout)
        except TimeoutError:
            return False
        return True

    async def aflush(self) -> None:
        """Do the same as `flush`, asynchronously; bound the wait with `asyncio.timeout`."""
        await asyncio.wrap_future(self._registration.idle())

    def close(self, timeout: float | None = None) -> None:
        """Wait until the found documents are published, for at most `timeout` seconds, and drop the rest.

        The retriever still finds documents afterwards, and makes no more requests to the proxy.
        """
        self.flush(timeout)
        self._stop()

    async def aclose(self) -> None:
        """Do the same as `close`, asynchronously; a cancellation drops the rest."""
        try:
            await self.aflush()
        finally:
            self._stop()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        found = self.retriever.invoke(
            query, {"callbacks": run_manager.get_child()}, **self._passed_on(k, kwargs)
        )
        documents = self._first(found, k)
        self._catalogue.refresh()
        counts = {key_of(d): self._catalogue.count(d.page_content) for d in self._unknown(documents)}
        return self._returned(documents, counts)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        found = await self.retriever.ainvoke(
            query, {"callbacks": run_manager.get_child()}, **self._passed_on(k, kwargs)
        )
        documents = self._first(found, k)
        await self._catalogue.arefresh()
        return self._returned(documents, await self._acounts(self._unknown(documents)))

    async def _acounts(self, documents: Sequence[Document]) -> dict[str, int | None]:
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def count(document: Document) -> int | None:
            async with at_once:
                return await self._catalogue.acount(document.page_content)

        counts = await asyncio.gather(*map(count, documents))
        return {key_of(d): n for d, n in zip(documents, counts, strict=True)}

    def _passed_on(self, k: int | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the inner retriever's call; ``k`` is among them only where it takes it."""
        wanted = k or self.k
        takes = self._inner_takes
        if wanted is None or not (takes is None or "k" in takes):
            return dict(kwargs)
        return {"k": wanted, **kwargs}

    def _first(self, found: Sequence[Document], k: int | None) -> list[Document]:
        return unique(found)[: k or self.k]

    def _unknown(self, documents: Sequence[Document]) -> list[Document]:
        return [d for d in documents if has_text(d) and self._catalogue.find(d) is None]

    def _returned(self, documents: Sequence[Document], counts: Mapping[str, int | None]) -> list[Document]:
        """Return copies of the documents in their order, within the budget, and count them for the next order."""
        stamped = [self._stamped(document, counts.get(key_of(document))) for document in documents]
        # A reference that the proxy does not know, without a text, is an empty document.
        said = [pair for pair in zip(documents, stamped, strict=True) if not says_nothing(pair[1])]
        chosen = said if self.max_tokens is None else within_budget(said, self.max_tokens)
        self._ranking.seen({key_of(document): document_id(document) for document, _ in chosen})
        self._register([document for document, copy in chosen if KVPROXY_DOCUMENT not in copy.metadata])
        ordered = without_repeats(self._ordered(chosen))
        for place, copy in enumerate(ordered):
            copy.metadata[KVPROXY_ORDER] = place
        return ordered

    def _ordered(self, documents: Sequence[tuple[Document, Document]]) -> list[Document]:
        """Return the copies in the order of their originals: being published moves no document."""
        keys = [key_of(document) for document, _ in documents]
        shared = self._ranking.shared(keys) if self.order == "shared" else {}
        places = [
            (-shared.get(key, 0), document_id(document), key)
            for key, (document, _) in zip(keys, documents, strict=True)
        ]
        return [documents[i][1] for i in sorted(range(len(documents)), key=places.__getitem__)]

    def _stamped(self, document: Document, count: int | None) -> Document:
        """Copy a document with the proxy's metadata in it, and none of an earlier retriever's."""
        known = self._catalogue.find(document)
        ours = (KVPROXY_DOCUMENT, KVPROXY_VERSION, KVPROXY_TOKENS, KVPROXY_ORDER)
        metadata = {key: value for key, value in document.metadata.items() if key not in ours}
        if known is not None:
            metadata |= {KVPROXY_DOCUMENT: known.reference, KVPROXY_VERSION: known.version}
        tokens = known.tokens if known is not None else count
        if tokens is not None:
            metadata[KVPROXY_TOKENS] = tokens
        return document.model_copy(update={"metadata": metadata})

    def _register(self, documents: Sequence[Document]) -> None:
        policy = self.registration
        if policy == "never" or not self._catalogue.reachable:
            return
        wanted = 1 if policy == "always" else policy
        for document in documents:
            if self._ranking.count(key_of(document)) >= wanted:
                self._registration.offer(document)

    def _stop(self) -> None:
        self._registration.stop()
        self._catalogue.close()
        if self.client is None:
            self._registration.finally_do(self._proxy.close)


def _parameters(retriever: BaseRetriever) -> frozenset[str] | None:
    """Return the names of the arguments that a retriever takes; None: any."""
    parameters = inspect.signature(retriever._get_relevant_documents).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return None
    return frozenset(parameters)
