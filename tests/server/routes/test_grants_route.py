from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.accounts.account_values import now_ms
from kvproxy.core import Caller
from kvproxy.tariffs.document_terms import DocumentTerms
from tests.server.doubles import Http, client_of
from tests.server.markets import ACME, BOSS, bearer, market_proxy

PUBLISHER = bearer(ACME[1])
ALICE = Caller("alice", "tenant:a", key="key_1")


class KeptTerms:
    """A book of terms in a dictionary, with one document that is sold."""

    def __init__(self) -> None:
        self.kept: dict[str, DocumentTerms] = {}

    def terms(self, document_id: str, publisher: str) -> DocumentTerms:
        return DocumentTerms(
            kind="share", share_ppm=300_000, publisher_ppm=800_000, text_readers="full_price"
        )

    def keep(self, terms: DocumentTerms) -> str:
        self.kept[terms.id] = terms
        return terms.id


async def grant(http: Http, status: int = 201, **fields: Any) -> dict[str, Any]:
    body = {"document": "handbook", "reader": "tenant", "id": "alice", **fields}
    response = await http.post("/kv/v1/grants", json=body, headers=PUBLISHER)
    answer: dict[str, Any] = await response.json()
    assert response.status == status, answer
    return answer


async def test_a_grant_from_its_making_to_its_end(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        made = await grant(http, document="handbook@3", max_reads=5, max_amount="1.5", expires_in_s=1000)
        assert (made["publisher"], made["document"], made["version"]) == ("acme", "handbook", 3)
        assert made["max_money"] == {"nano": 1_500_000_000, "amount": "1.5", "currency": "USD"}
        found = market.grants.grant_for("handbook", 3, "acme", ALICE, now_ms())
        assert found is not None and found.id == made["id"]
        assert market.grants.grant_for("handbook", 4, "acme", ALICE, now_ms()) is None
        listed = await (await http.get("/kv/v1/grants", headers=PUBLISHER)).json()
        assert listed["data"] == [made]
        revoked = await (await http.delete(f"/kv/v1/grants/{made['id']}", headers=PUBLISHER)).json()
        assert revoked["revoked"] is not None
        assert market.grants.grant_for("handbook", 3, "acme", ALICE, now_ms()) is None


async def test_nobody_sees_or_ends_another_publishers_grants(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        made = await grant(http)
        other = bearer(BOSS[1])
        assert (await (await http.get("/kv/v1/grants", headers=other)).json())["data"] == []
        answers = []
        for id in (made["id"], made["id"].replace("grant_", "grant_0")):
            response = await http.delete(f"/kv/v1/grants/{id}", headers=other)
            answers.append((response.status, (await response.text()).replace(id, "ID")))
        assert answers[0] == answers[1] and answers[0][0] == 404
        assert market.grants.get(made["id"]).revoked_ms is None


async def test_a_grants_price_is_split_as_the_documents(tmp_path: Path) -> None:
    book = KeptTerms()
    async with market_proxy(tmp_path, terms=book) as market, client_of(market.proxy) as http:
        made = await grant(http, price="0.002")
        terms = book.kept[made["terms"]]
        assert (terms.kind, terms.nano_per_1000, terms.publisher_ppm) == ("fixed", 2_000_000, 800_000)
        assert terms.text_readers == "full_price"
        assert (await grant(http, 400, price="cheap"))["error"]["param"] == "price"


async def test_a_price_needs_a_tariff(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        assert "no tariff" in (await grant(http, 400, price="free"))["error"]["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"reader": "everybody"},
        {"reader": "friend"},
        {"document": "../x"},
        {"max_reads": -1},
        {"max_read": 1},
        {"max_amount": "-1"},
        {"expires_in_s": 0},
    ],
)
async def test_what_cannot_be_granted(tmp_path: Path, fields: dict[str, Any]) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        await grant(http, 400, **fields)
        assert market.grants.list() == []
