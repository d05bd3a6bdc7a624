"""Prices of documents over HTTP: set with a publish or by themselves, never for the past, and refused when wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kvproxy.backends.fake.fake_backend import FakeMisses
from kvproxy.core import scope_of_key
from kvproxy.database.database import Database
from kvproxy.database.metadata import METADATA
from kvproxy.documents.library.library import Library
from kvproxy.pipeline import Pipeline
from kvproxy.served_model import ServedModel
from kvproxy.server.market import Market
from kvproxy.tariffs import DocumentTerms, ModelPrices, Tariff
from kvproxy.tariffs.recorded_tariffs import Tariffs
from kvproxy.tariffs.terms_book import TermsBook
from tests import test_publish
from tests.documents.library.granted_rights import PlannedRights
from tests.server.doubles import Http, client_of, make_proxy
from tests.test_publish import FRAMINGS, TEXT, Shop, folder

__all__ = ["folder"]

KEYS = (("acme", "key-of-acme-which-is-long"), ("bob", "key-of-bob-which-is-long"))
ACME, BOB = ({"Authorization": f"Bearer {key}"} for _, key in KEYS)
DOCUMENTS = "/kv/v1/documents"
TERMS = f"{DOCUMENTS}/manual/terms"


class NamedRights(PlannedRights):
    def publisher(self, owner_scope: str) -> str:
        return {scope_of_key(key): name for name, key in KEYS}.get(owner_scope, "")


class Stall:
    """A proxy with a market, and its parts."""

    def __init__(self, http: Http, rights: PlannedRights, book: TermsBook, tariffs: Tariffs) -> None:
        self.http, self.rights, self.book, self.tariffs = http, rights, book, tariffs

    async def publish(self, headers: Any = ACME, **fields: Any) -> Any:
        body = {"id": "manual", "text": TEXT, "visibility": "granted", **fields}
        return await self.http.post(DOCUMENTS, json=body, headers=headers)

    async def error(self, response: Any, status: int) -> Any:
        assert response.status == status, await response.text()
        return (await response.json())["error"]


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts that block when they are opened, and so are made outside of the event loop."""

    shop: Shop
    rights: PlannedRights
    book: TermsBook
    tariffs: Tariffs


@pytest.fixture
def parts(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    rights = NamedRights()
    monkeypatch.setattr(test_publish, "Library", lambda: Library(rights))
    shop = Shop(folder, tmp_path, set(), FRAMINGS)
    with closing(shop), Database.open(None, tmp_path) as database:
        METADATA.create_all(database.engine)
        tariffs = Tariffs(database)
        yield Parts(shop, rights, TermsBook(database, tariffs), tariffs)


@pytest.fixture
async def stall(parts: Parts) -> AsyncIterator[Stall]:
    shop, proxy = parts.shop, make_proxy(api_keys=KEYS)
    components = replace(
        proxy.components,
        publisher=shop.publisher,
        market=Market(terms=parts.book, tariffs=parts.tariffs),
        pipeline=Pipeline(
            models=[ServedModel.of(shop.backend, shop.composer)],
            misses=FakeMisses(shop.backend),
            default_max_tokens=4,
        ),
    )
    async with client_of(replace(proxy, components=components)) as http:
        yield Stall(http, parts.rights, parts.book, parts.tariffs)


async def test_a_price_is_set_with_a_publish(stall: Stall) -> None:
    price = {"kind": "fixed", "per_1000": "0.02", "publisher_share": "80%", "text_readers": "full_price"}
    response = await stall.publish(price=price, licence="Answers may be published.")
    assert response.status == 201 and (await response.json())["info"]["visibility"] == "granted"
    chosen = stall.book.chosen("manual", "acme")
    assert chosen is not None and chosen.licence == "Answers may be published."
    assert chosen.terms == DocumentTerms(
        kind="fixed", nano_per_1000=20_000_000, publisher_ppm=800_000, text_readers="full_price"
    )
    told = await (await stall.http.get(TERMS, headers=ACME)).json()
    assert told["object"] == "kv_terms" and (told["document"], told["publisher"]) == ("manual", "acme")
    assert told["history"] == [told["current"]]
    assert told["current"] | {"valid_from_ms": 0} == {
        "id": chosen.terms.id,
        "kind": "fixed",
        "share": None,
        "per_1000": {"nano": 20_000_000, "amount": "0.02", "currency": "USD"},
        "publisher_share": "80%",
        "text_readers": "full_price",
        "licence": "Answers may be published.",
        "valid_from_ms": 0,
    }


async def test_terms_change_for_the_future_and_keep_their_history(stall: Stall) -> None:
    await stall.publish(price={"kind": "free"}, licence="CC BY 4.0")
    changed = await stall.http.post(TERMS, json={"price": {"kind": "share", "share": "25%"}}, headers=ACME)
    told = await changed.json()
    assert changed.status == 200 and [t["kind"] for t in told["history"]] == ["free", "share"]
    assert (told["current"]["share"], told["current"]["licence"]) == ("25%", "CC BY 4.0")
    again = await stall.publish()
    assert again.status == 200 and stall.book.changes == 2, "a publish without a price changes none"


async def test_terms_are_shown_to_those_who_may_read_the_document_and_set_by_its_publisher(
    stall: Stall,
) -> None:
    await stall.publish(price={"kind": "free"})
    missing = await stall.error(await stall.http.get(TERMS, headers=BOB), 404)
    other = await stall.error(await stall.http.get(f"{DOCUMENTS}/nothing/terms", headers=BOB), 404)
    assert missing["message"].replace("manual", "nothing") == other["message"]
    free = {"price": {"kind": "free"}}
    assert (await stall.error(await stall.http.post(TERMS, json=free, headers=BOB), 404))["code"]
    stall.rights.grant("manual", "bob")
    told = await (await stall.http.get(TERMS, headers=BOB)).json()
    assert told["publisher"] == "acme" and told["current"]["kind"] == "free"
    refused = await stall.error(await stall.http.post(TERMS, json=free, headers=BOB), 403)
    assert "Only the publisher of 'manual' can set its terms." in refused["message"]
    assert stall.book.changes == 1


@pytest.mark.parametrize(
    ("price", "param"),
    [
        ({"kind": "fixed"}, "price.per_1000"),
        ({"kind": "share", "per_1000": "1"}, "price.share"),
        ({"kind": "free", "share": "25%"}, "price.share"),
        ({"kind": "share", "share": "101%"}, "price.share"),
        ({"kind": "share", "share": "0.25"}, "price.share"),
        ({"kind": "fixed", "per_1000": "0.0000000001"}, "price.per_1000"),
        ({"kind": "fixed", "per_1000": "-1"}, "price.per_1000"),
        ({"kind": "fixed", "per_1000": 0.02}, "price.per_1000"),
        ({"kind": "fixed", "per_1000": "9999999999"}, "price.per_1000"),
        ({"kind": "free", "publisher_share": "101%"}, "price.publisher_share"),
        ({"kind": "auction"}, "price.kind"),
        ({"kind": "free", "text_readers": "nobody"}, "price.text_readers"),
    ],
    ids=str,
)
async def test_a_wrong_price_publishes_nothing(stall: Stall, price: dict[str, Any], param: str) -> None:
    error = await stall.error(await stall.publish(price=price), 400)
    assert error["param"] == param
    listed = await (await stall.http.get(DOCUMENTS, headers=ACME)).json()
    assert listed["data"] == [] and stall.book.changes == 0


async def test_the_host_keeps_the_part_that_its_tariff_says(stall: Stall) -> None:
    documents = DocumentTerms(publisher_ppm=700_000)
    tariff = Tariff.of("EUR", 0, {}, ModelPrices(input=1, output=1), documents)
    await asyncio.to_thread(stall.tariffs.record, tariff, now_ms=0)
    await stall.publish(price={"kind": "share", "share": "10%"})
    told = await (await stall.http.get(TERMS, headers=ACME)).json()
    assert told["current"]["publisher_share"] == "70%"
    more = {"price": {"kind": "fixed", "per_1000": "1", "publisher_share": "80%"}}
    error = await stall.error(await stall.http.post(TERMS, json=more, headers=ACME), 400)
    assert error["param"] == "price.publisher_share" and "more than 70%" in error["message"]
    less = {"price": {"kind": "fixed", "per_1000": "1", "publisher_share": "60%"}}
    told = await (await stall.http.post(TERMS, json=less, headers=ACME)).json()
    assert told["current"]["per_1000"]["currency"] == "EUR"


async def test_a_document_may_be_called_terms(stall: Stall) -> None:
    await stall.publish(id="manual/terms", text="These are the terms.")
    got = await (await stall.http.get(TERMS, headers=ACME)).json()
    assert (got["object"], got["id"]) == ("kv_document", "manual/terms")
    assert (await stall.http.get(TERMS, headers=BOB)).status == 404
    versioned = await stall.http.get(f"{DOCUMENTS}/other@2/terms", headers=ACME)
    assert "all versions" in (await stall.error(versioned, 400))["message"]


async def test_a_licence_alone_leaves_the_price_as_it_is(stall: Stall) -> None:
    await stall.publish(price={"kind": "share", "share": "25%"})
    assert (await stall.publish(licence="CC0")).status == 200
    current = (await (await stall.http.get(TERMS, headers=ACME)).json())["current"]
    assert (current["share"], current["licence"]) == ("25%", "CC0")


async def test_a_price_needs_a_market() -> None:
    async with client_of(make_proxy()) as http:
        for terms in ({"price": {"kind": "free"}}, {"licence": "CC0"}):
            response = await http.post(DOCUMENTS, json={"id": "a", "text": "b", **terms})
            assert response.status == 404 and "no market" in (await response.json())["error"]["message"]
        assert (await http.get(TERMS)).status == 404


async def test_a_reader_gets_answers_and_neither_text_nor_tokens(stall: Stall) -> None:
    await stall.publish()
    part = {"type": "kv_document", "document": "manual"}
    asked = {
        "model": "fake",
        "messages": [{"role": "system", "content": [part]}, {"role": "user", "content": "Q"}],
    }
    chat, tokenize = "/v1/chat/completions", "/tokenize"
    for path in (chat, tokenize):
        assert (await stall.error(await stall.http.post(path, json=asked, headers=BOB), 404))["code"]
    stall.rights.grant("manual", "bob")
    answer = await stall.http.post(chat, json=asked, headers=BOB)
    cached = (await answer.json())["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert answer.status == 200 and cached > 500
    for refused in (
        await stall.http.get(f"{DOCUMENTS}/manual?text=true", headers=BOB),
        await stall.http.post(tokenize, json=asked, headers=BOB),
    ):
        error = await stall.error(refused, 403)
        assert "publisher" in error["message"] and TEXT[:20] not in await refused.text()
    assert (await stall.http.post(tokenize, json=asked, headers=ACME)).status == 200
    stall.rights.end("manual", "bob", "your grant was revoked.")
    gone = await stall.error(await stall.http.post(chat, json=asked, headers=BOB), 403)
    assert gone["code"] == "permission_denied" and "your grant was revoked" in gone["message"]
    assert gone["param"].startswith("messages")
