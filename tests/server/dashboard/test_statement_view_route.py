from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from aiohttp import FormData

from kvproxy.receipts.canonical_jws import unverified_claims
from kvproxy.receipts.statement_check import check_statements
from tests.server.dashboard.browsing import ACCEPT
from tests.server.dashboard.opened_market import OpenedMarket, opened_market
from tests.server.markets import ACME, bearer

PERIOD = "from=2026-09-01&to=2027-10-01"


async def test_the_statement_is_the_apis_and_is_checked_line_by_line(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        await market.browser.log_in(ACME[1])
        path = f"/ui/publishers/statement.json?{PERIOD}"
        async with market.browser.http.get(path) as answer:
            assert answer.headers["Content-Disposition"].startswith("attachment")
            mine = await answer.json()
        asked = f"/kv/v1/statements?{PERIOD}&receipts=true"
        async with market.browser.http.get(asked, headers=bearer(ACME[1])) as answer:
            apis = await answer.json()
        assert mine.keys() == apis.keys() and mine["receipts"] == apis["receipts"]
        claims = [unverified_claims(told["jws"]) for told in (mine, apis)]
        assert {**claims[0], "iat": 0} == {**claims[1], "iat": 0} and mine["reads"] == 3
        components = market.proxy.components
        assert components.market is not None and components.market.host_keys is not None
        assert (
            check_statements([mine["jws"]], mine["receipts"], components.market.host_keys.jwks()).faults == ()
        )
        checked = await market.browser.get(f"/ui/publishers/statement?{PERIOD}")
        assert "All of it holds." in checked.words and "3 of 3 receipts" in checked.words
        assert claims[0]["root"] in checked.words


async def upload(market: OpenedMarket, token: str, text: str) -> tuple[int, str]:
    form = FormData()
    form.add_field("csrf", token)
    form.add_field("statement", text.encode(), filename="statement.json", content_type="application/json")
    async with market.browser.http.post("/ui/publishers/check", data=form, headers=ACCEPT) as answer:
        return answer.status, await answer.text()


async def test_a_file_is_checked_and_what_is_wrong_with_it_named(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(ACME[1], "/ui/publishers")
        async with market.browser.http.get(f"/ui/publishers/statement.json?{PERIOD}") as answer:
            told = await answer.json()
        status, text = await upload(market, page.token, json.dumps(told))
        assert status == 200 and "All of it holds." in text
        fewer = {**told, "receipts": told["receipts"][:2]}
        status, text = await upload(market, page.token, json.dumps(fewer))
        assert status == 200 and "It does not hold." in text and "was added" in text
        status, text = await upload(market, page.token, told["jws"])
        assert status == 200 and "All of it holds." in text and "not compared here" in text
        for wrong in ("{}", "\x00", "a.b.c"):
            status, text = await upload(market, page.token, wrong)
            assert (status, "holds no statement" in text) == (400, True) or "It does not hold." in text
        none = await market.browser.post("/ui/publishers/check", {"csrf": page.token})
        assert none.status == 400 and "Choose the file" in none.words


def unsigned(claims: Any, head: Any = None) -> str:
    """Return a JWS with these claims and a signature that is none."""
    parts = ({"alg": "EdDSA", "typ": "kvproxy-statement+jws", "kid": "x"} if head is None else head, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        + ".AAAA"
    )


async def test_a_hostile_file_is_refused_or_does_not_hold(tmp_path: Path) -> None:
    async with opened_market(tmp_path) as market:
        page = await market.browser.log_in(ACME[1], "/ui/publishers")
        async with market.browser.http.get(f"/ui/publishers/statement.json?{PERIOD}") as answer:
            name = answer.headers["Content-Disposition"]
            told = await answer.json()
        assert name == 'attachment; filename="statement-2026-09-01-2027-10-01.json"'
        good = unverified_claims(told["jws"])
        evil = "<svg/onload=alert(1)>"
        values: tuple[Any, ...] = (
            None,
            True,
            -1,
            1.5,
            10**400,
            evil,
            [],
            [None],
            [[]],
            {},
            {"size": evil},
            {"size": 10**30},
        )
        files = [unsigned({**good, name: value}) for name in good for value in values]
        files += [unsigned(value) for value in values] + [unsigned(good, value) for value in values]
        files += [json.dumps({**told, "receipts": value}) for value in (*values, [evil], [unsigned(good)])]
        files += [json.dumps({**told, "checkpoint": value}) for value in (*values, evil * 3, "\n\n\n")]
        files += [
            "[" * 20_000,
            '{"jws": ' * 5_000,
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ]
        for text in files:
            status, shown = await upload(market, page.token, text)
            assert status in (200, 400), (text[:300], shown)
            assert evil not in shown
            if text.endswith(".AAAA"):
                assert status == 400 or "It does not hold." in shown, text
