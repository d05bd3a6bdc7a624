from __future__ import annotations

from kvproxy.core.charges import Charge, DocumentTokens, MeteredTokens

READS = tuple(DocumentTokens(f"d{n}@1", "0" * 64, "acme", n, "terms") for n in (100, 50))


def test_the_documents_are_a_part_of_the_cached_tokens() -> None:
    metered = MeteredTokens("small", 400, 200, 10, READS)
    assert metered.document_tokens == 150
    assert MeteredTokens("small", 400, 200, 10).document_tokens == 0


def test_a_document_may_cost_more_than_its_prefill() -> None:
    assert Charge("USD", 3, 10, 3, (), "t").saved == 7
    assert Charge("USD", 12, 10, 12, (), "t").saved == -2
