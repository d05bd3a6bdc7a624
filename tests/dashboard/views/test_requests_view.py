"""The rows of ended requests: another tenant's without its document and its money."""

from __future__ import annotations

from kvproxy.core import Caller
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.dashboard.views.requests_view import requests_shown
from kvproxy.telemetry.feed import FedEntry
from kvproxy.wire.service.served_requests import KvRequest, Outcome

ADMIN = ViewScope(Caller("boss", "tenant:b"))


def served(id: str, outcome: Outcome = "hit") -> KvRequest:
    return KvRequest(
        object="kv_request",
        id=id,
        at=1.0,
        client="openai/2.1",
        endpoint="/v1/chat/completions",
        model="fake",
        status=200,
        outcome=outcome,
        reason="collapsed" if outcome == "hit" else "no-pages",
        cause=None if outcome == "hit" else "uuid",
        document="secret-plan@1",
        prompt_tokens=1000,
        cached_tokens=768,
        completion_tokens=5,
        ttft_s=0.01,
        total_s=0.5,
        currency="USD",
        cost="0.25",
        saved="0.75",
    )


def entry(scope: str, id: str, outcome: Outcome = "hit") -> FedEntry[KvRequest]:
    return FedEntry(scope, scope.removeprefix("tenant:"), False, served(id, outcome))


def test_an_operator_sees_neither_the_documents_nor_the_money_of_others() -> None:
    shown = requests_shown([entry("tenant:a", "1"), entry("tenant:b", "2")], ADMIN, "", 50)
    own, other = shown.rows
    assert (own.id, own.document, own.cost, own.tenant) == ("2", "secret-plan@1", "0.25 USD", "b")
    assert (other.id, other.document, other.cost, other.tenant) == ("1", "", "", "a")
    assert "secret" not in repr(other) and "0.25" not in repr(other)
    assert shown.everyone and shown.summary == "2 of the newest 2 requests are hits."


def test_the_newest_come_first_and_one_outcome_can_be_asked_for() -> None:
    entries = [entry("tenant:b", str(n), "miss" if n % 2 else "hit") for n in range(6)]
    assert [row.id for row in requests_shown(entries, ADMIN, "", 4).rows] == ["5", "4", "3", "2"]
    missed = requests_shown(entries, ADMIN, "miss", 50)
    assert [(row.id, row.why) for row in missed.rows] == [("5", "uuid"), ("3", "uuid"), ("1", "uuid")]
    assert missed.rows[0].cached_share == 0.768 and missed.rows[0].endpoint == "chat/completions"
