from __future__ import annotations

import json
import time

import pytest

from kvproxy.core import Caller
from kvproxy.errors import InvalidRequest
from kvproxy.receipts.issued_receipts import SignedStatement
from kvproxy.server.answers.statement_answer import (
    MadeStatement,
    StatementPeriod,
    asked_period,
    statement_response,
)

ACME = Caller("acme", "tenant:a")


def test_the_period_that_a_query_names() -> None:
    asked = {"from": "2026-11-01", "to": "2026-12-01", "publisher": "zeta", "receipts": "true"}
    assert asked_period(asked, ACME) == StatementPeriod("zeta", 1_793_491_200, 1_796_083_200, True)
    whole = asked_period({"publisher": ""}, ACME)
    assert (whole.publisher, whole.since, whole.receipts) == ("acme", 0, False)
    assert 0 <= whole.until - time.time() <= 60
    with pytest.raises(InvalidRequest):
        asked_period({"from": "yesterday"}, ACME)


async def test_the_json_of_a_statement() -> None:
    claims = {"receipts": [{}, {}], "tokens": 7, "currency": "USD", "publisher_share": "0.5"}
    signed = SignedStatement("s.s.s", claims, ("a.b.c",), "note")
    made = MadeStatement(StatementPeriod("acme", 1, 2, True), signed)
    answer = await statement_response(made, {"Content-Disposition": "attachment"})
    assert answer.headers["Content-Disposition"] == "attachment"
    assert isinstance(answer.body, bytes)
    told = json.loads(answer.body)
    assert (told["publisher"], told["since"], told["until"]) == ("acme", 1, 2)
    assert (told["reads"], told["tokens"], told["jws"], told["receipts"]) == (2, 7, "s.s.s", ["a.b.c"])
