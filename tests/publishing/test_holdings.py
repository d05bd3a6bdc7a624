from __future__ import annotations

from kvproxy.core import DocumentRef, Kept, KeptPage
from kvproxy.documents.registry.registry_entry import KeptFraming
from kvproxy.publishing.holdings import DocumentHolding, Holdings


def kept(*keys: bytes) -> Kept:
    return Kept("f", (1, 2), tuple(KeptPage(key, 1) for key in keys), 8, 0.0)


ONE, TWO, THREE = DocumentRef("one", 1), DocumentRef("two", 1), DocumentRef("three", 1)


def test_shared_pages_are_needed_until_the_last_document_goes() -> None:
    holdings = Holdings()
    holdings.put(ONE, DocumentHolding("public", (KeptFraming("system", kept(b"a", b"b")),), "o"))
    holdings.put(TWO, DocumentHolding("public", (KeptFraming("system", kept(b"a", b"c")),), "o"))
    holdings.put(THREE, DocumentHolding("tenant:x", (KeptFraming("user", kept(b"b", b"d")),), "o"))
    (gone,) = holdings.take([ONE, DocumentRef("absent", 1)])
    assert gone.keys == {b"a", b"b"}
    everything = (b"a", b"b", b"c", b"d")
    assert holdings.needed(everything, "public") == {b"a", b"c"}
    assert holdings.needed(everything, "tenant:x") == {b"b", b"d"}
    assert holdings.needed(everything, "public", lambda ref: ref != TWO) == frozenset()
    assert holdings.needing(b"c", "public") == [TWO] and holdings.needing(b"c", "tenant:x") == []


def test_holdings_by_framing() -> None:
    holdings = Holdings()
    assert holdings.get(ONE).framings == () and holdings.get(ONE).keys == frozenset()
    holding = DocumentHolding("public", (KeptFraming("system", kept(b"a")),), "o")
    holdings.put(ONE, holding)
    assert holdings.get(ONE).of("system") == kept(b"a") and holdings.get(ONE).of("user") is None
