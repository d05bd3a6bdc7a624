"""`charge`: the price of metered tokens. Pure, whole numbers: it can be repeated from a receipt alone.

A reader's cost is computed as an exact fraction and rounded once, half up, to a nano-unit. A publisher's share is
rounded down, so that the rest, the host's, is never negative; the two sum to the cost exactly. Rounding the shares
half up as well was rejected: of many small shares the host would have paid a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from kvproxy.core import Charge, DocumentCharge, DocumentTokens, MeteredTokens
from kvproxy.tariffs.document_terms import MILLION, DocumentTerms
from kvproxy.tariffs.model_prices import ModelPrices
from kvproxy.tariffs.model_tariff import Tariff

# Exact amounts are whole numbers, in nano-units / _UNIT: prices are for a million tokens, shares are millionths.
_UNIT = MILLION * MILLION

_MS_PER_HOUR = 3_600_000


def charge(metered: MeteredTokens, tariff: Tariff, terms: Mapping[str, DocumentTerms]) -> Charge:
    """Return the price of a request. ``terms`` has the terms of each document by their id.

    Raises ValueError where the model is not sold, terms are missing, or more tokens are of documents than are cached.

    Example:
        ``charge(MeteredTokens("qwen3-4b", 3800, 3774, 20), tariff, {})``
    """
    prices = _prices(metered.model, tariff)
    _check(metered)
    documents = [_document(read, prices, _terms(read, terms)) for read in metered.documents]
    own = metered.cached_tokens - metered.document_tokens
    computed = metered.prompt_tokens - metered.cached_tokens
    exact = sum(price for _, price in documents) + _UNIT // MILLION * (
        computed * prices.input + own * prices.cached_input + metered.completion_tokens * prices.output
    )
    cost = _half_up(exact)
    charges = tuple(one for one, _ in documents)
    return Charge(
        currency=tariff.currency,
        cost=cost,
        cold_cost=_cold(metered, prices),
        host_share=cost - sum(one.publisher_share for one in charges),
        documents=charges,
        tariff=tariff.id,
    )


def cold_charge(metered: MeteredTokens, tariff: Tariff) -> Charge:
    """Return the price of the same tokens as a miss: nothing cached, no publisher. Raises ValueError as ``charge``."""
    return charge(replace(metered, cached_tokens=0, documents=()), tariff, {})


def most_it_may_cost(
    model: str,
    prompt_tokens: int,
    max_tokens: int,
    tariff: Tariff,
    terms: Mapping[str, DocumentTerms],
    documents: Iterable[DocumentTokens] = (),
    choices: int = 1,
) -> int:
    """Return the nano-units that no charge of this request exceeds, be it a hit, a miss or a hit in part.

    ``max_tokens`` is for each of ``choices``; ``documents`` are those that may be read, with all their tokens. It is
    the miss price, except where a document named by reference has a fixed price above what its read saves. It is
    rounded up, so that a sum over several prompts covers the one charge for all of them, too. Raises ValueError as
    ``charge``.

    Example:
        ``most_it_may_cost("qwen3-4b", 3800, 256, tariff, terms, documents=reads, choices=2)``
    """
    prices = _prices(model, tariff)
    exact = _UNIT // MILLION * (prompt_tokens * prices.input + max_tokens * choices * prices.output)
    for read in documents:
        _, price = _document(read, prices, _terms(read, terms))
        exact += max(0, price - _UNIT // MILLION * read.tokens * prices.input)
    return -(-exact // _UNIT)


def publishing_charge(model: str, tokens: int, tariff: Tariff) -> Charge:
    """Return the host's price of prefilling ``tokens`` once for a publisher. Raises ValueError for an unsold model.

    Example: ``publishing_charge("qwen3-4b", 3774, tariff)``
    """
    return _host_charge(_half_up(_UNIT // MILLION * tokens * _prices(model, tariff).publishing), tariff)


def storage_charge(model: str, byte_ms: int, tariff: Tariff) -> Charge:
    """Return the host's price of kept KV: ``byte_ms`` is its bytes times the milliseconds that they were kept.

    Raises ValueError for an unsold model.

    Example: ``storage_charge("qwen3-4b", 540_000_000 * 3_600_000, tariff)``
    """
    exact = byte_ms * _prices(model, tariff).storage_mb_hour
    return _host_charge(_half_up(exact, MILLION * _MS_PER_HOUR), tariff)


def _host_charge(nano: int, tariff: Tariff) -> Charge:
    return Charge(tariff.currency, nano, nano, nano, (), tariff.id)


def _prices(model: str, tariff: Tariff) -> ModelPrices:
    prices = tariff.prices(model)
    if prices is None:
        raise ValueError(f"tariff {tariff.id[:12]} has no prices of '{model[:80]}', and no default")
    return prices


def _terms(read: DocumentTokens, terms: Mapping[str, DocumentTerms]) -> DocumentTerms:
    if (found := terms.get(read.terms)) is None:
        raise ValueError(f"the terms {read.terms[:12]} of {read.document[:80]} are not among those given")
    return found


def _check(metered: MeteredTokens) -> None:
    counts = (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens)
    if min(counts) < 0 or any(read.tokens < 0 for read in metered.documents):
        raise ValueError("a number of tokens is below 0")
    if not metered.document_tokens <= metered.cached_tokens <= metered.prompt_tokens:
        raise ValueError(
            "more tokens are of documents than were cached, or more were cached than the prompt has"
        )


def _document(read: DocumentTokens, prices: ModelPrices, terms: DocumentTerms) -> tuple[DocumentCharge, int]:
    """Price one document's tokens; the second value is the exact price, in nano-units / _UNIT."""
    saving = _UNIT // MILLION * read.tokens * (prices.input - prices.cached_input)
    own = _publishers_price(read, saving, terms)
    price = _UNIT // MILLION * read.tokens * prices.cached_input + own
    share = own * terms.publisher_ppm // (_UNIT * MILLION)
    return DocumentCharge(read, _half_up(price), share), price


def _publishers_price(read: DocumentTokens, saving: int, terms: DocumentTerms) -> int:
    """Price what the publisher asks for, capped at the saving for a reader who has sent the text: the cold read stays
    possible."""
    if terms.text_readers == "full_price" and not read.by_reference and read.grant is None:
        return saving
    match terms.kind:
        case "free":
            return 0
        case "share":
            return saving * terms.share_ppm // MILLION
        case "fixed":
            fixed = _UNIT // 1000 * read.tokens * terms.nano_per_1000
            return fixed if read.by_reference else min(fixed, saving)


def _cold(metered: MeteredTokens, prices: ModelPrices) -> int:
    tokens = metered.prompt_tokens * prices.input + metered.completion_tokens * prices.output
    return _half_up(_UNIT // MILLION * tokens)


def _half_up(exact: int, unit: int = _UNIT) -> int:
    return (2 * exact + unit) // (2 * unit)
