from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.catalog.signed_quotes import QUOTE_TYP
from kvproxy.core import Caller, DocumentRef
from kvproxy.documents.library.document_info import Verification
from kvproxy.exactness.verify import Verifier
from kvproxy.pipeline import Pipeline
from kvproxy.receipts.canonical_jws import verify_claims
from kvproxy.receipts.signed_note import verifier_key
from kvproxy.served_model import ServedModel
from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operations import OPERATIONS
from kvproxy.tariffs import DocumentTerms
from tests.receipts.booked_reads import read_of
from tests.receipts.booked_rows import book
from tests.server.doubles import ask, client_of, make_proxy
from tests.server.market_double import MarketProxy, as_tenant, offered

DOCUMENT = describe(OPERATIONS, served_name="fake")
TEXT = "Everyone has 25 days of leave. " * 20


def check_described(id: str, answer: dict[str, Any]) -> None:
    """Check an answer against the description of its operation."""
    operation = next(o for o in OPERATIONS if o.id == id)
    told = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]["200"]
    schema = told["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer)


async def test_the_host_says_who_it_is_without_a_key(made: MarketProxy) -> None:
    async with client_of(made.proxy) as http:
        response = await http.get("/.well-known/kvproxy.json")
        told = await response.json()
    assert response.status == 200
    check_described("describeHost", told)
    assert told["jwks"] == made.keys.jwks() and told["host"]["contact"] == "post@kv.example"
    assert told["models"][0]["prices"]["cached_input"] == "0.5" and told["currency"] == "USD"
    assert told["endpoints"]["quote"] == "https://kv.example/kv/v1/quote"
    assert told["checkpoint_key"].startswith("kv.example+") and verifier_key("a", bytes(32))


async def test_the_catalog_shows_price_reads_and_what_verify_measured(made: MarketProxy) -> None:
    made.offers.documents = [offered("handbook-acme", 3), offered("zebra", publisher="zeta")]
    await asyncio.to_thread(
        made.terms.set_terms,
        "handbook-acme",
        "acme",
        DocumentTerms(kind="share", share_ppm=500_000),
        licence="CC0-1.0",
    )
    await asyncio.to_thread(book, made.database, [read_of(1), read_of(2)])
    async with client_of(made.proxy) as http:
        page = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
    check_described("listCatalog", page)
    entry, other = page["data"]
    assert (entry["document"], entry["reads"], entry["read_tokens"]) == ("handbook-acme@3", 2, 7168)
    assert entry["licence"] == "CC0-1.0" and other["licence"] is None and other["reads"] == 0
    price = entry["price"]["fake"]
    # 1,000 tokens: 0.0005 from kept pages and half of the 0.0045 that a read saves, of 0.005 cold.
    assert [price[name]["amount"] for name in ("read", "cold", "saved")] == ["0.00275", "0.005", "0.00225"]
    assert entry["verified"] is None and page["next"] is None


async def test_the_catalog_is_searched_and_paged(made: MarketProxy) -> None:
    docs = [
        offered("hand", 1, current=False),
        offered("hand", 2),
        offered("handbook"),
        offered("z", publisher="zeta"),
    ]
    made.offers.documents = docs

    async def listed(query: str) -> list[str]:
        answer = await (await http.get(f"/kv/v1/catalog?{query}", headers=as_tenant("alice"))).json()
        return [entry["document"] for entry in answer["data"]] + [answer["next"] or ""]

    async with client_of(made.proxy) as http:
        assert await listed("") == ["hand@1", "hand@2", "handbook@1", "z@1", ""]
        assert await listed("limit=2") == ["hand@1", "hand@2", "hand@2"]
        assert await listed("limit=2&after=hand@2") == ["handbook@1", "z@1", ""]
        assert await listed("id=handb") == ["handbook@1", ""]
        assert await listed("publisher=zeta") == ["z@1", ""]
        assert await listed(f"sha256={docs[1].sha256.upper()}") == ["hand@2", ""]
        assert await listed("sha256=00") == [""]
        for wrong in ("limit=0", "limit=x", "limit=9999"):
            assert (await http.get(f"/kv/v1/catalog?{wrong}", headers=as_tenant("alice"))).status == 400


async def test_a_granted_document_is_shown_to_its_readers_alone_at_their_price(made: MarketProxy) -> None:
    ref = DocumentRef("secret", 1)
    made.offers.documents = [offered("secret", visibility="granted")]
    async with client_of(made.proxy) as http:
        seen = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
        assert seen["data"] == []
        made.offers.granted[ref] = {"alice": "grant_1"}
        seen = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
        assert [entry["visibility"] for entry in seen["data"]] == ["granted"]
        assert (await http.get("/kv/v1/catalog")).status == 401


async def test_a_quote_counts_what_a_request_would_have(made: MarketProxy) -> None:
    proxy = made.proxy
    await proxy.publisher.publish("handbook", TEXT, "public", Caller("acme", "t"))
    chat = ask()
    chat["messages"] = [{"role": "system", "content": TEXT}, {"role": "user", "content": "How many?"}]
    async with client_of(proxy) as http:
        response = await http.post(
            "/kv/v1/quote", json={"request": {**chat, "max_tokens": 10}}, headers=as_tenant("alice")
        )
        quote = await response.json()
        served = await (
            await http.post(
                "/v1/chat/completions", json={**chat, "max_tokens": 10}, headers=as_tenant("alice")
            )
        ).json()
    assert response.status == 200
    check_described("createQuote", quote)
    usage = served["usage"]
    assert quote["prompt_tokens"] == usage["prompt_tokens"]
    assert quote["cached_tokens"] == usage["prompt_tokens_details"]["cached_tokens"] >= len(TEXT)
    assert (quote["decision"], quote["reason"], quote["max_tokens"]) == ("hit", "", 10)
    computed = quote["prompt_tokens"] - quote["cached_tokens"]
    assert quote["hit"]["nano"] == computed * 5000 + quote["cached_tokens"] * 500
    assert quote["miss"]["nano"] == quote["prompt_tokens"] * 5000
    assert quote["most"]["nano"] == quote["miss"]["nano"] + 10 * 15_000
    claims = verify_claims(quote["jws"], QUOTE_TYP, made.keys.jwks()).claims
    assert claims["sub"] == "alice" and claims["documents"][0]["document"] == "handbook@1"
    assert len(proxy.backend.generations) == 1  # the quote itself has generated nothing


async def test_a_cold_prompt_is_quoted_as_a_miss_with_its_reason(made: MarketProxy) -> None:
    async with client_of(made.proxy) as http:
        answer = await http.post("/kv/v1/quote", json={"request": ask("unknown")}, headers=as_tenant("alice"))
        quote = await answer.json()
    assert (quote["decision"], quote["reason"], quote["documents"]) == ("miss", "no-document", [])
    assert quote["hit"] == quote["miss"] and quote["max_tokens"] == 64


async def test_a_document_and_a_text_are_quoted(made: MarketProxy) -> None:
    info = (await made.proxy.publisher.publish("handbook", TEXT, "public", Caller("acme", "t"))).info
    made.offers.documents = [offered("handbook", sha256=info.etag, digests=frozenset({info.etag}))]
    async with client_of(made.proxy) as http:
        example = DOCUMENT["paths"]["/kv/v1/quote"]["post"]["requestBody"]["content"]["application/json"][
            "example"
        ]
        good: list[dict[str, Any]] = [
            example,
            {"document": "handbook@1"},
            {"sha256": info.etag, "max_tokens": 5},
        ]
        for asked in good:
            answer = await http.post("/kv/v1/quote", json=asked, headers=as_tenant("alice"))
            quote = await answer.json()
            assert answer.status == 200, quote
            assert quote["decision"] == "hit" and quote["documents"][0]["tokens"] == len(TEXT)
        assert quote["max_tokens"] == 5
        wrong: list[tuple[dict[str, Any], int]] = [
            ({"sha256": "0" * 64}, 404),
            ({"document": "nothing"}, 404),
            ({"sha256": "short"}, 400),
            ({}, 400),
            ({"document": "handbook", "sha256": info.etag}, 400),
            ({"documnet": "handbook"}, 400),
            ({"document": "../x"}, 400),
            ({"request": {"model": "gpt-far", "messages": []}}, 400),
            ({"request": {"model": "fake"}}, 400),
        ]
        for asked, status in wrong:
            answer = await http.post("/kv/v1/quote", json=asked, headers=as_tenant("alice"))
            assert answer.status == status, (asked, await answer.text())


async def test_a_verification_is_shown_in_the_catalog(made: MarketProxy) -> None:
    await made.proxy.publisher.publish("handbook", TEXT, "public", Caller("acme", "t"))
    made.offers.documents = [offered("handbook")]
    async with client_of(made.proxy) as http:
        verified = await http.post("/kv/v1/documents/handbook/verify", headers=as_tenant("acme"))
        assert verified.status == 200
        page = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
    assert page["data"][0]["verified"]["exact"] is True


class NothingCached(Verifier):
    """A fleet's verifier, of whose document no replica has a block."""

    def __init__(self) -> None:
        pass

    async def verify(self, ref: DocumentRef, *_: Any) -> list[Verification]:
        return [Verification(f"{ref.id}@1", "system", exact=False, note="no block of this prompt is cached")]


async def test_what_a_fleet_could_not_compare_leaves_the_catalog_as_it_was(made: MarketProxy) -> None:
    await made.proxy.publisher.publish("handbook", TEXT, "public", Caller("acme", "t"))
    made.offers.documents = [offered("handbook")]
    proxy, fleet = made.proxy, ExpectingBackend(model="far")
    models = [proxy.components.pipeline.models.primary, ServedModel("far", fleet, proxy.composer)]
    pipeline = Pipeline(models=models, misses=FakeMisses(proxy.backend, others={"far": fleet}))
    proxy.components = replace(proxy.components, pipeline=pipeline, verifiers={"far": NothingCached()})
    async with client_of(proxy) as http:
        for path in ("verify", "verify?model=far"):
            verified = await http.post(f"/kv/v1/documents/handbook/{path}", headers=as_tenant("acme"))
            assert verified.status == 200
        page = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
    assert page["data"][0]["verified"]["exact"] is True


async def test_without_a_tariff_there_is_no_price(unpriced: MarketProxy) -> None:
    made = unpriced
    made.offers.documents = [offered("handbook")]
    async with client_of(made.proxy) as http:
        page = await (await http.get("/kv/v1/catalog", headers=as_tenant("alice"))).json()
        assert page["data"][0]["price"] == {}
        answer = await http.post("/kv/v1/quote", json={"request": ask()}, headers=as_tenant("alice"))
        assert answer.status == 400 and "free" in (await answer.json())["error"]["message"]
        told = await (await http.get("/.well-known/kvproxy.json")).json()
        assert told["currency"] is None and told["models"][0]["prices"] is None


@pytest.mark.parametrize("path", ["/.well-known/kvproxy.json", "/kv/v1/catalog", "/kv/v1/checkpoint"])
async def test_a_proxy_without_a_market_has_no_such_url(path: str) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.get(path)
        assert response.status == 404 and (await response.json())["error"]["code"] == "unknown_url"
