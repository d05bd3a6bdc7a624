"""``/kv/v1/overview`` and ``/kv/v1/misses``: each tenant's own figures, those of all for admins alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import ALL_PERMISSIONS, DEFAULT_PERMISSIONS, Permission
from kvproxy.telemetry.metrics import Figures
from kvproxy.telemetry.usage.usage_series import STEPS
from tests.server.doubles import Http, Proxy, ask, client_of, make_proxy

CHAT = "/v1/chat/completions"
KEYS = tuple((name, f"key-of-{name}-0123456789") for name in ("ann", "bob", "boss", "poor"))
PERMISSIONS: dict[str, frozenset[Permission]] = {
    "ann": DEFAULT_PERMISSIONS,
    "bob": DEFAULT_PERMISSIONS,
    "boss": ALL_PERMISSIONS,
    "poor": frozenset({"read"}),
}
FIGURES = Figures(2, 1, {"free": 5, "used": 3, "evictable": 2}, 0, {"passed": 4, "failed": 1, "dropped": 0})


def a_proxy(**changed: Any) -> Proxy:
    proxy = make_proxy(api_keys=KEYS, permissions=PERMISSIONS)
    return replace(proxy, components=replace(proxy.components, figures=lambda: FIGURES, **changed))


def of(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {dict(KEYS)[name]}"}


async def got(http: Http, path: str, name: str, status: int = 200, **query: str) -> Any:
    answer = await http.get(f"/kv/v1/{path}", headers=of(name), params=query)
    assert answer.status == status, await answer.text()
    return await answer.json()


async def asked(http: Http, name: str, text: str, **headers: str) -> None:
    await (await http.post(CHAT, json=ask(text), headers={**of(name), **headers})).read()


async def test_hits_and_misses_are_summed_for_their_own_tenant() -> None:
    async with client_of(a_proxy()) as http:
        for _ in range(2):
            await asked(http, "ann", "x" * 300)
        await asked(http, "bob", "y" * 100)
        ann, bob = await got(http, "overview", "ann"), await got(http, "overview", "bob")
        everybody = await got(http, "overview", "boss", tenant="all")
        named = await got(http, "overview", "boss", points="2")
    today = ann["today"]
    assert (ann["tenant"], today["requests"], today["hits"], today["misses"]) == ("ann", 2, 1, 1)
    assert (today["prompt_tokens"], today["cached_tokens"]) == (606, 302)
    assert today["hit_share"] == round(302 / 606, 4) and ann["total"] == today
    assert ann["recent"]["misses"] == {"unknown": 1}
    assert ann["recent"]["hit_ttft"]["count"] == ann["recent"]["miss_ttft"]["count"] == 1
    assert sum(point["requests"] for point in ann["series"]) == 2 and len(ann["series"]) == 60
    assert bob["today"]["requests"] == 1 and bob["today"]["cached_tokens"] == 0
    assert everybody["tenant"] is None and everybody["today"]["requests"] == 3
    assert len(named["series"]) == 2 and named["today"]["requests"] == 0
    assert ann["ready"] and ann["reason"] is None and ann["models"] == ["fake"] and ann["uptime_s"] > 0


async def test_other_tenants_are_for_admins_alone() -> None:
    async with client_of(a_proxy()) as http:
        await asked(http, "ann", "x" * 100)
        for path in ("overview", "misses"):
            for tenant in ("all", "ann"):
                told = await got(http, path, "bob", 403, tenant=tenant)
                assert told["error"]["code"] == "permission_denied"
        assert (await got(http, "misses", "bob"))["data"] == []
        assert (await http.get("/kv/v1/overview")).status == 401


async def test_the_engine_is_shown_to_those_who_may_see_metrics() -> None:
    async with client_of(a_proxy()) as http:
        engine = (await got(http, "overview", "ann"))["engine"]
        assert (engine["running"], engine["waiting"], engine["page_budget"]) == (2, 1, 10)
        assert engine["audits"]["failed"] == 1
        assert (await got(http, "overview", "poor"))["engine"] is None
    async with client_of(a_proxy(metrics_key="a-key-for-the-metrics")) as http:
        assert (await got(http, "overview", "ann"))["engine"] is None
        assert (await got(http, "overview", "boss"))["engine"]["running"] == 2


async def test_misses_newest_first_and_by_cause() -> None:
    async with client_of(a_proxy()) as http:
        for text in ("y" * 50, "z" * 60):
            await asked(http, "ann", text)
        listed = (await got(http, "misses", "ann"))["data"]
        assert [miss["prompt_tokens"] for miss in listed] == [63, 53]
        assert {miss["cause"] for miss in listed} == {"unknown"}, "nothing compares them here"
        assert len((await got(http, "misses", "ann", most="1"))["data"]) == 1
        assert (await got(http, "misses", "ann", cause="timestamp"))["data"] == []
        everybody = (await got(http, "misses", "boss", tenant="all"))["data"]
        assert [miss["tenant"] for miss in everybody] == ["ann", "ann"]
        assert "yyyy" not in json.dumps(listed), "ids are hexadecimal"


async def test_an_operator_sees_no_document_of_another_tenant() -> None:
    proxy = a_proxy()
    async with client_of(proxy) as http:
        publish = {"id": "secret-plan", "text": "s" * 400, "visibility": "private"}
        assert (await http.post("/kv/v1/documents", json=publish, headers=of("ann"))).status in (200, 201)
        proxy.backend.evict()
        await asked(http, "ann", "s" * 400 + "?")
        own = (await got(http, "misses", "ann"))["data"]
        for path in ("misses", "overview"):
            assert "secret-plan" not in json.dumps(await got(http, path, "boss", tenant="all"))
    assert [miss["document"] for miss in own] == ["secret-plan@1"]


async def test_a_request_that_retains_nothing_leaves_sums_alone() -> None:
    async with client_of(a_proxy()) as http:
        await asked(http, "ann", "x" * 100, **{"x-kvproxy-retention": "none"})
        assert (await got(http, "overview", "ann"))["today"]["misses"] == 1
        assert (await got(http, "misses", "ann"))["data"] == []
        assert (await got(http, "misses", "boss", tenant="all"))["data"] == []


async def test_refusals_and_other_models_count_as_requests_alone() -> None:
    async with client_of(a_proxy()) as http:
        await http.post(CHAT, json=ask(temperature=9), headers=of("ann"))
        await http.post(CHAT, json=ask(model="gpt-far"), headers=of("ann"))
        today = (await got(http, "overview", "ann"))["today"]
    assert (today["requests"], today["hits"], today["misses"], today["prompt_tokens"]) == (2, 0, 0, 0)
    assert today["hit_share"] is None


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [("overview", "points", str(STEPS + 1)), ("misses", "most", "x"), ("misses", "cause", "bad-luck")],
)
async def test_wrong_questions_are_refused(path: str, name: str, value: str) -> None:
    async with client_of(a_proxy()) as http:
        assert (await got(http, path, "ann", 400, **{name: value}))["error"]["param"] == name
