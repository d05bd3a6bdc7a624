"""``POST /kv/v1/explain``: a request beside the caller's earlier ones; each tenant's own."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import DEFAULT_PERMISSIONS
from kvproxy.explain.explaining_thread import ExplainingThread
from kvproxy.server.answers.explanation_view import SHOWN
from tests.server.doubles import Http, Proxy, client_of, eventually, make_proxy

KEYS = (("ann", "a-key-of-ann-0000"), ("ben", "a-key-of-ben-0000"))
ANN, BEN = ({"Authorization": f"Bearer {key}"} for _, key in KEYS)
BODY = "You are a careful assistant. Answer in English, name your sources, and be brief.\n"


def dated(day: str, **fields: Any) -> dict[str, Any]:
    system = {"role": "system", "content": f"Today is {day}.\n{BODY}"}
    return {"model": "fake", "messages": [system, {"role": "user", "content": "Why?"}], **fields}


async def explained(http: Http, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    response = await http.post("/kv/v1/explain", json=body, headers=headers)
    assert response.status == 200, await response.text()
    told: dict[str, Any] = await response.json()
    return told


def explaining(proxy: Proxy) -> ExplainingThread:
    """Let the pipeline of a proxy keep what it serves."""
    thread = ExplainingThread(proxy.components.reporters["fake"].explainer)
    proxy.components.pipeline.explaining = thread
    return thread


def kept(proxy: Proxy) -> int:
    previous = proxy.components.reporters["fake"].explainer.previous
    assert previous is not None
    return len(previous)


async def test_the_first_difference_from_an_earlier_request() -> None:
    proxy = make_proxy()
    with explaining(proxy):
        async with client_of(proxy) as http:
            assert (await http.post("/v1/chat/completions", json=dated("Nov 29"))).status == 200
            await eventually(lambda: kept(proxy) == 1)
            told = await explained(http, dated("Nov 30", previous=True))
            again = await explained(http, dated("Nov 30"))
            assert len(proxy.backend.generations) == 1, "nothing was served"
    difference = told["difference"]
    assert (told["outcome"], told["cause"]) == ("miss", "timestamp")
    assert told["cause"] == again["cause"] and told["difference"] == again["difference"]
    assert told["compared"]["kind"] == "request" and told["compared"]["id"].startswith("chatcmpl-")
    assert (difference["where"], difference["counted_from"]) == ("messages[0]", "message")
    assert difference["character"] == len("Today is Nov ")
    assert difference["before"].endswith("Today is Nov ")
    assert (difference["sent"][:4], difference["other"][:4]) == ("30.\n", "29.\n")
    assert difference["token"] == {
        "index": told["compared"]["common_tokens"],
        "sent": ord("3"),
        "sent_text": "3",
        "other": ord("2"),
        "other_text": "2",
    }
    assert len(difference["sent"]) <= SHOWN and "date" in told["do"]


async def test_a_miss_says_its_cause_in_the_header_the_feed_and_the_metrics() -> None:
    proxy = make_proxy()
    with explaining(proxy):
        async with client_of(proxy) as http:
            for day in ("Nov 29", "Nov 30"):
                response = await http.post("/v1/chat/completions", json=dated(day))
                assert response.status == 200
            recent = (await (await http.get("/kv/v1/requests")).json())["data"]
            assert [entry["reason"] for entry in recent] == ["no-document"] * 2
            # An answer of this proxy may end before any comparison: the feed has then no cause, as its header.
            assert recent[1]["cause"] in ("timestamp", None)
            counted = 'kvproxy_misses_total{cause="timestamp",reason="no-document"} 1.0'
            await eventually(lambda: counted in proxy.components.pipeline.metrics.text().decode())
            assert response.headers["Cache-Status"] in (
                'kvproxy; fwd=miss; detail="no-document; cause=timestamp"',
                'kvproxy; fwd=miss; detail="no-document"',
            )


async def test_the_requests_of_another_tenant_do_not_exist() -> None:
    proxy = make_proxy(api_keys=KEYS)
    with explaining(proxy):
        async with client_of(proxy) as http:
            posted = await http.post("/v1/chat/completions", json=dated("Nov 29"), headers=ANN)
            assert posted.status == 200
            await eventually(lambda: kept(proxy) == 1)
            for fields in ({}, {"previous": True}):
                told = await explained(http, dated("Nov 30", **fields), **BEN)
                assert (told["compared"], told["difference"]) == (None, None)
            told = await explained(http, dated("Nov 30", cache_salt="other"), **ANN)
            assert (told["compared"], told["difference"]) == (None, None), "nor those of another salt"
            told = await explained(http, dated("Nov 30"), **ANN)
            assert told["cause"] == "timestamp"


async def test_the_dialects_are_told_apart() -> None:
    proxy = make_proxy()
    text = f"Today is Nov 29.\n{BODY}"
    with explaining(proxy):
        async with client_of(proxy) as http:
            assert (await http.post("/v1/chat/completions", json=dated("Nov 29"))).status == 200
            await eventually(lambda: kept(proxy) == 1)
            question = {"role": "user", "content": "Why?"}
            bodies: list[dict[str, Any]] = [
                {
                    "model": "fake",
                    "system": text.replace("29", "30"),
                    "max_tokens": 9,
                    "messages": [question],
                },
                {"model": "fake", "system": text.replace("29", "30"), "messages": [question]},
                {"model": "fake", "instructions": text.replace("29", "30"), "input": "Why?"},
                {**dated("Nov 30"), "endpoint": "chat/completions"},
            ]
            for body in bodies:
                told = await explained(http, body)
                assert (told["cause"], told["difference"]["where"]) == ("timestamp", "messages[0]"), body


async def test_a_hit_and_a_document() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        published = await http.post("/kv/v1/documents", json={"id": "handbook", "text": "The rules. " * 30})
        assert published.status == 201
        body = {"model": "fake", "messages": [{"role": "system", "content": "The rules. " * 30}]}
        told = await explained(http, body)
    assert (told["outcome"], told["cause"], told["document"]) == ("hit", None, "handbook@1")
    assert told["cached_tokens"] > 256 and told["difference"] is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"against": "handbook", "previous": True}, "against"),
        ({"against": "not a name"}, "against"),
        ({"previous": "yes"}, "previous"),
        ({"endpoint": "embeddings"}, "endpoint"),
        ({"messages": None}, "messages"),
        ({"model": "gpt-far"}, "model"),
    ],
)
async def test_wrong_questions(fields: dict[str, Any], param: str) -> None:
    body = {name: value for name, value in (dated("Nov 30") | fields).items() if value is not None}
    async with client_of(make_proxy()) as http:
        response = await http.post("/kv/v1/explain", json=body)
        assert response.status == 400 and (await response.json())["error"]["param"] == param


async def test_unknown_documents_keys_without_the_permission_and_no_key() -> None:
    reads = DEFAULT_PERMISSIONS - {"read"}
    async with client_of(make_proxy(api_keys=KEYS, permissions={"ben": reads})) as http:
        response = await http.post("/kv/v1/explain", json=dated("Nov 30", against="nope"), headers=ANN)
        assert response.status == 404 and (await response.json())["error"]["code"] == "document_not_found"
        for headers, status in ((BEN, 403), ({}, 401)):
            response = await http.post("/kv/v1/explain", json=dated("Nov 30"), headers=headers)
            assert response.status == status
