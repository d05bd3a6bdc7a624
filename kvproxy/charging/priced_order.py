"""`price_order`: an order with the prices that count for it, fixed from its first moment to its booking. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kvproxy.charging.charge_requests import ChargePreview, Order
from kvproxy.charging.meter_tokens import meter_prompt, sum_metered, whole_reads
from kvproxy.core import (
    Charge,
    DocumentRef,
    DocumentTokens,
    Hit,
    MeteredTokens,
    Miss,
    Money,
    QuoteBasis,
    Span,
)
from kvproxy.events import Usage
from kvproxy.tariffs import DocumentTerms, Tariff, charge, most_it_may_cost


@dataclass(frozen=True, slots=True)
class PricedOrder:
    """An order whose prices do not change any more, whatever the tariff does meanwhile."""

    order: Order
    tariff: Tariff | None
    """None where nothing prices the model: the order is free."""
    terms: Mapping[DocumentRef, str]
    """Ids of terms by document."""
    known: Mapping[str, DocumentTerms]
    """The terms by id."""
    nano: int
    """The most that it may cost."""

    @property
    def tokens(self) -> int:
        """The most tokens of all prompts and answers."""
        return sum(p.tokens + p.most_new * p.choices for p in self.order.prompts)

    @property
    def most_new(self) -> int:
        """The most tokens of all answers."""
        return sum(p.most_new * p.choices for p in self.order.prompts)

    @property
    def preview(self) -> ChargePreview | None:
        """The amounts that are known before the work."""
        if self.tariff is None:
            return None
        prompts = sum(p.tokens for p in self.order.prompts)
        cold = most_it_may_cost(self.order.model, prompts, 0, self.tariff, {})
        return ChargePreview(Money(self.nano, self.tariff.currency), Money(cold, self.tariff.currency))

    def bounded(self, metered: MeteredTokens) -> MeteredTokens:
        """Return the tokens without those beyond the order, which an upstream alone can report: its tokenizer is
        another, and it may add to a prompt. Money that was not held is never taken."""
        prompt = min(metered.prompt_tokens, sum(p.tokens for p in self.order.prompts))
        cached = max(min(metered.cached_tokens, prompt), metered.document_tokens)
        new = min(metered.completion_tokens, self.most_new)
        return replace(metered, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=new)

    def charge(self, metered: MeteredTokens, currency: str) -> Charge:
        """Return the price of what was used; one of nothing for a free order."""
        if self.tariff is None:
            return Charge(currency, 0, 0, 0, (), "")
        return charge(metered, self.tariff, self.known)


def price_order(
    order: Order, tariff: Tariff | None, terms_of: Callable[[Span], DocumentTerms]
) -> PricedOrder:
    """Fix the prices of an order. ``terms_of``: the terms of a document for this reader.

    Example: ``price_order(order, tariffs.at(now_ms), lambda span: FREE)``
    """
    spans = {span.document: span for prompt in order.prompts for span in prompt.documents}
    found = {ref: terms_of(span) for ref, span in spans.items()}
    terms = {ref: one.id for ref, one in found.items()}
    known = {one.id: one for one in found.values()}
    sold = tariff if tariff is not None and tariff.prices(order.model) is not None else None
    nano = 0
    if sold is not None:
        nano = sum(
            most_it_may_cost(
                order.model,
                prompt.tokens,
                prompt.most_new,
                sold,
                known,
                whole_reads(prompt.documents, terms),
                prompt.choices,
            )
            for prompt in order.prompts
        )
    return PricedOrder(order, sold, terms, known, nano)


def quote_basis(priced: PricedOrder, tariff: Tariff) -> QuoteBasis:
    """Return what the quote of an order says: the price of its prompts as they are cached now, and cold.

    Example: ``quotes.make(quote_basis(priced, tariff), caller, now_ms)``
    """
    order = priced.order
    decisions = [prompt.expected() for prompt in order.prompts if prompt.expected is not None]
    cached = [d.cached_tokens if isinstance(d, Hit) else 0 for d in decisions]
    reasons = [d.reason.value for d in decisions if isinstance(d, Miss)]
    metered = sum_metered(
        order.model,
        (
            meter_prompt(order.model, prompt.documents, Usage(prompt.tokens, 0, count), priced.terms)
            for prompt, count in zip(order.prompts, cached or [0] * len(order.prompts), strict=True)
        ),
    )
    return QuoteBasis(
        model=order.model,
        prompt_tokens=metered.prompt_tokens,
        cached_tokens=metered.cached_tokens,
        max_tokens=priced.most_new,
        documents=_quoted(priced, metered),
        price=priced.charge(metered, tariff.currency),
        most=priced.nano,
        decision="hit" if any(cached) else "miss",
        reason="" if any(cached) or not reasons else reasons[0],
    )


def _quoted(priced: PricedOrder, metered: MeteredTokens) -> tuple[DocumentTokens, ...]:
    """All documents of the prompts, also those without a cached token."""
    read = {one.document for one in metered.documents}
    whole = [one for p in priced.order.prompts for one in whole_reads(p.documents, priced.terms)]
    missing = {one.document: replace(one, tokens=0) for one in whole if one.document not in read}
    return (*metered.documents, *missing.values())
