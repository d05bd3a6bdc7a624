"""`QuoteDesk`: makes quotes of requests, documents and texts: composed as they would be served, and looked up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from kvproxy.backends.base import LocalBackend
from kvproxy.catalog.document_catalog import Catalog, TariffTimes
from kvproxy.catalog.signed_quotes import Quotes, SignedQuote
from kvproxy.charging.meter_tokens import meter_prompt, whole_reads
from kvproxy.core import (
    Caller,
    ChatRequest,
    Decision,
    DocumentPart,
    DocumentRef,
    Hit,
    Message,
    PageLookup,
    PagesFound,
    Prompt,
    QuoteBasis,
    Sampling,
    Span,
    TextPart,
)
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.errors import InvalidRequest, ModelNotFound, NotReady
from kvproxy.events import Usage
from kvproxy.generations import fit_sampling
from kvproxy.tariffs import DocumentTerms, Tariff, charge, most_it_may_cost


class Composes(Protocol):
    """The composer of the local model's prompts."""

    async def compose_async(self, request: ChatRequest, caller: Caller, limit: int | None = None) -> Prompt:
        """Return the exact tokens of a request."""


class SpanTerms(Protocol):
    """The terms that price a document in a prompt: its grant's, or its publisher's."""

    def of(self, span: Span) -> DocumentTerms:
        """Return the terms now. May ask the database: called on a thread."""


@dataclass(frozen=True, slots=True)
class PromptPreview:
    """A prompt with what would be found of it now. Nothing is computed, and nothing is held."""

    prompt: Prompt
    decision: Decision
    cached_tokens: int
    most_new: int
    choices: int


class QuoteDesk:
    """Makes the quotes of one host's local model. Generates nothing: pages are looked up as for a request.

    Example:
        ``quoted = await desk.of_request(chat, caller); quoted.body["hit"]["amount"]``
    """

    def __init__(
        self,
        *,
        composer: Composes,
        local: LocalBackend,
        catalog: Catalog,
        quotes: Quotes,
        tariffs: TariffTimes,
        terms: SpanTerms,
        model: str,
        default_max_tokens: int | None = None,
        decide: Callable[[Prompt, PageLookup], Decision] = decide_by_pages,
    ) -> None:
        """``model``: the local model's name; ``default_max_tokens``: of requests that bound no answer."""
        self._composer = composer
        self._local = local
        self._catalog = catalog
        self._quotes = quotes
        self._tariffs = tariffs
        self._terms = terms
        self._model = model
        self._default_max_tokens = default_max_tokens
        self._decide = decide

    async def of_request(self, request: ChatRequest, caller: Caller) -> SignedQuote:
        """Quote a chat request. Raises as its composing does, ModelNotFound for an upstream's model, InvalidRequest
        where the model has no price."""
        if request.model != self._model:
            raise ModelNotFound(request.model, (self._model,))
        return await self._signed(await self._preview(request, caller), caller)

    async def of_document(
        self, ref: DocumentRef, caller: Caller, max_tokens: int | None = None
    ) -> SignedQuote:
        """Quote a read of a document by reference, with an empty question. Raises as :meth:`of_request`.

        Example:
            ``await desk.of_document(DocumentRef("handbook"), caller, max_tokens=200)``
        """
        request = _reading(self._model, ref, max_tokens)
        return await self._signed(await self._preview(request, caller), caller)

    async def of_text(self, sha256: str, caller: Caller, max_tokens: int | None = None) -> SignedQuote:
        """Quote a read by a reader who sends the text of this hash. Raises DocumentNotFound, and as
        :meth:`of_request`.

        Example:
            ``await desk.of_text(digest, caller, max_tokens=200)``
        """
        offered = await self._catalog.find(caller, sha256=sha256)
        ref = DocumentRef(offered.ref.id, offered.ref.version)
        preview = await self._preview(_reading(self._model, ref, max_tokens), caller)
        spans = tuple(replace(span, by_reference=False) for span in preview.prompt.documents)
        return await self._signed(replace(preview, prompt=replace(preview.prompt, documents=spans)), caller)

    async def _preview(self, request: ChatRequest, caller: Caller) -> PromptPreview:
        info = self._local.info
        if (reason := self._local.ready()) is not None:
            raise NotReady(f"The model `{self._model}` is not ready: {reason}.")
        prompt = await self._composer.compose_async(request, caller, info.max_context)
        sampling = fit_sampling(prompt, request.sampling, info, self._default_max_tokens)
        reading = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
        with self._local.hold(prompt, reading) as lookup:
            decision = self._decide(prompt, lookup)
        fresh = any(span.quarantined for span in prompt.documents[:1])
        # A miss takes what is kept too: a prefill gives the same bits. Only a document in quarantine takes nothing.
        found = lookup.tokens if isinstance(lookup, PagesFound) and not fresh else 0
        cached = decision.cached_tokens if isinstance(decision, Hit) else found
        room = info.room(len(prompt.token_ids))
        return PromptPreview(prompt, decision, cached, max(1, sampling.max_tokens or room), request.n)

    async def _signed(self, preview: PromptPreview, caller: Caller) -> SignedQuote:
        now_ms = int(time.time() * 1000)
        tariff = self._tariffs.at(now_ms)
        if tariff is None or tariff.prices(self._model) is None:
            raise InvalidRequest(
                f"`{self._model}` has no price here: its requests are free and need no quote."
            )
        spans = preview.prompt.documents
        priced = await asyncio.to_thread(lambda: {span.document: self._terms.of(span) for span in spans})
        basis = quote_basis(self._model, preview, tariff, priced)
        return self._quotes.make(basis, caller, now_ms)


def quote_basis(
    model: str, preview: PromptPreview, tariff: Tariff, priced: Mapping[DocumentRef, DocumentTerms]
) -> QuoteBasis:
    """Price a previewed prompt. Pure. ``priced``: the terms of each of its documents.

    Example:
        ``quote_basis("qwen3-4b", preview, tariff, {span.document: terms}).price.cost``
    """
    spans, size = preview.prompt.documents, len(preview.prompt.token_ids)
    ids = {document: terms.id for document, terms in priced.items()}
    known = {terms.id: terms for terms in priced.values()}
    metered = meter_prompt(model, spans, Usage(size, 0, preview.cached_tokens), ids)
    cached = {(read.document, read.etag, read.publisher): read for read in metered.documents}
    whole = whole_reads(spans, ids)
    nothing = [replace(read, tokens=0) for read in whole]
    most = most_it_may_cost(model, size, preview.most_new, tariff, known, whole, preview.choices)
    decision = preview.decision
    return QuoteBasis(
        model=model,
        prompt_tokens=size,
        cached_tokens=metered.cached_tokens,
        max_tokens=preview.most_new * preview.choices,
        documents=tuple(cached.get((read.document, read.etag, read.publisher), read) for read in nothing),
        price=charge(metered, tariff, known),
        most=most,
        decision="hit" if isinstance(decision, Hit) else "miss",
        reason="" if isinstance(decision, Hit) else decision.reason.value,
    )


def _reading(model: str, ref: DocumentRef, max_tokens: int | None) -> ChatRequest:
    """Return the request of `Client.ask` without a question: the document at the head of the system message."""
    document = Message("system", (DocumentPart(ref),))
    question = Message("user", (TextPart(""),))
    return ChatRequest(model, (document, question), Sampling(max_tokens=max_tokens))
