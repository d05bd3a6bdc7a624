"""`QuoteMaker`: makes quotes of requests, documents and texts: composed as they would be served, and looked up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from kvproxy.catalog.document_catalog import Catalog, TariffTimes
from kvproxy.catalog.offered_terms import OfferedTerms
from kvproxy.catalog.signed_quotes import Quotes, SignedQuote
from kvproxy.charging.charge_requests import Order, OrderedPrompt
from kvproxy.charging.priced_order import price_order, quote_basis
from kvproxy.core import (
    Caller,
    ChatRequest,
    Decision,
    DocumentPart,
    DocumentRef,
    Message,
    PageLookup,
    Prompt,
    Sampling,
    TextPart,
)
from kvproxy.documents.matching import decide as decide_by_pages
from kvproxy.errors import InvalidRequest
from kvproxy.generations import fit_sampling
from kvproxy.served_model import ServedModels


class QuoteMaker:
    """Makes the quotes of one host's served models. Generates nothing: pages are looked up as for a request.

    Example:
        ``quoted = await quoting.of_request(chat, caller); quoted.body["hit"]["amount"]``
    """

    def __init__(
        self,
        *,
        models: ServedModels,
        catalog: Catalog,
        quotes: Quotes,
        tariffs: TariffTimes,
        terms: OfferedTerms,
        default_max_tokens: int | None = None,
        decide: Callable[[Prompt, PageLookup], Decision] = decide_by_pages,
    ) -> None:
        """``default_max_tokens``: of requests that bound no answer."""
        self._models = models
        self._catalog = catalog
        self._quotes = quotes
        self._tariffs = tariffs
        self._terms = terms
        self._default_max_tokens = default_max_tokens
        self._decide = decide

    async def of_request(self, request: ChatRequest, caller: Caller) -> SignedQuote:
        """Quote a chat request. Raises as its composing does, ModelNotFound for an upstream's model, InvalidRequest
        where the model has no price."""
        return await self._signed(request.model, await self._ordered(request, caller), caller)

    async def of_document(
        self, ref: DocumentRef, caller: Caller, max_tokens: int | None = None, model: str | None = None
    ) -> SignedQuote:
        """Quote a read of a document by reference, with an empty question, by ``model`` or the primary one. Raises as
        :meth:`of_request`.

        Example:
            ``await quoting.of_document(DocumentRef("handbook"), caller, max_tokens=200)``
        """
        request = _reading(self._named(model), ref, max_tokens)
        return await self.of_request(request, caller)

    async def of_text(
        self, sha256: str, caller: Caller, max_tokens: int | None = None, model: str | None = None
    ) -> SignedQuote:
        """Quote a read by a reader who sends the text of this hash, by the primary model where ``model`` names none.
        Raises DocumentNotFound, and as :meth:`of_request`.

        Example:
            ``await quoting.of_text(digest, caller, max_tokens=200)``
        """
        offered = await self._catalog.find(caller, sha256=sha256)
        ref = DocumentRef(offered.ref.id, offered.ref.version)
        request = _reading(self._named(model), ref, max_tokens)
        found = await self._ordered(request, caller)
        spans = tuple(replace(span, by_reference=False) for span in found.documents)
        return await self._signed(request.model, replace(found, documents=spans), caller)

    def _named(self, model: str | None) -> str:
        return model or self._models.primary.name

    async def _ordered(self, request: ChatRequest, caller: Caller) -> OrderedPrompt:
        """Compose a request as it would be served, and look its pages up. They are held for a moment only."""
        model = self._models.named(request.model)
        backend = model.ready()
        info = backend.info
        prompt = await model.compose(request, caller)
        tokens = len(prompt.token_ids)
        sampling = fit_sampling(prompt, request.sampling, info, self._default_max_tokens)
        reading = caller.salted(request.cache).reading(span.scope for span in prompt.documents)
        with backend.hold(prompt, model.looking(reading, request.cache)) as lookup:
            decision = self._decide(prompt, lookup)
        most_new = sampling.max_tokens or max(1, info.room(tokens))
        return OrderedPrompt(tokens, most_new, prompt.documents, request.n, lambda: decision)

    async def _signed(self, model: str, prompt: OrderedPrompt, caller: Caller) -> SignedQuote:
        now_ms = int(time.time() * 1000)
        tariff = self._tariffs.at(now_ms)
        if tariff is None or tariff.prices(model) is None:
            raise InvalidRequest(f"`{model}` has no price here: its requests are free and need no quote.")
        spans = {span.document: span for span in prompt.documents}
        terms = await asyncio.to_thread(
            lambda: {document: self._terms.of_span(span) for document, span in spans.items()}
        )
        priced = price_order(Order("", caller, model, (prompt,)), tariff, lambda span: terms[span.document])
        return self._quotes.make(quote_basis(priced, tariff), caller, now_ms)


def _reading(model: str, ref: DocumentRef, max_tokens: int | None) -> ChatRequest:
    """Return the request of `Client.ask` without a question: the document at the head of the system message."""
    document = Message("system", (DocumentPart(ref),))
    question = Message("user", (TextPart(""),))
    return ChatRequest(model, (document, question), Sampling(max_tokens=max_tokens))
