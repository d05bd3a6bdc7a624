from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.doubles import Http, ask, client_of, eventually, make_proxy

KEY, OWN = "a-key-of-a-tenant", "a-key-for-the-figures"


async def figures(http: Http) -> dict[str, float]:
    response = await http.get("/metrics")
    assert response.status == 200 and response.content_type == "text/plain"
    return {
        f"{sample.name} {' '.join(sample.labels[name] for name in sorted(sample.labels))}".strip(): sample.value
        for family in text_string_to_metric_families(await response.text())
        for sample in family.samples
    }


async def test_requests_are_counted_by_route_dialect_and_status() -> None:
    async with client_of(make_proxy()) as http:
        for _ in range(2):
            assert (await http.post("/v1/chat/completions", json=ask())).status == 200
        body = {**ask(), "max_tokens": 3}
        assert (await http.post("/v1/messages", json=body)).status == 200
        assert (await http.post("/v1/chat/completions", json={})).status == 400
        assert (await http.get("/made/up")).status == 404
        assert (await http.get("/v1/models/nobody")).status == 404
        streamed = await http.post("/v1/chat/completions", json=ask(stream=True))
        await streamed.text()
        got = await figures(http)
    assert got["kvproxy_requests_total openai /v1/chat/completions 200"] == 3
    assert got["kvproxy_requests_total openai /v1/chat/completions 400"] == 1
    assert got["kvproxy_requests_total anthropic /v1/messages 200"] == 1
    assert got["kvproxy_requests_total kvproxy none 404"] == 1, "paths that clients make up are no labels"
    assert got["kvproxy_request_duration_seconds_count /v1/chat/completions"] == 4
    assert got["kvproxy_misses_total unknown no-document"] == 4
    assert got["kvproxy_generation_tokens_total"] > 10
    assert got["kvproxy_time_to_first_token_seconds_count miss"] == 4


async def test_a_client_that_leaves_is_still_metered() -> None:
    proxy = make_proxy(token_delay_s=0.02)
    async with client_of(proxy) as http:
        response = await http.post("/v1/chat/completions", json=ask(stream=True))
        await response.content.readany()
        response.close()
        await eventually(lambda: not proxy.backend.running)
        got = await figures(http)
    assert got["kvproxy_prompt_tokens_total prefilled"] == len(proxy.backend.generations[0].prompt.token_ids)


@pytest.mark.parametrize(
    ("keys", "own", "sent", "status"),
    [
        ((), None, None, 200),
        ((("ann", KEY),), None, None, 401),
        ((("ann", KEY),), None, KEY, 200),
        ((("ann", KEY),), OWN, KEY, 401),
        ((("ann", KEY),), OWN, OWN, 200),
        ((("ann", KEY),), OWN, "\udcff\udcfe", 401),
        ((), OWN, None, 401),
    ],
)
async def test_metrics_need_a_key(
    keys: tuple[tuple[str, str], ...], own: str | None, sent: str | None, status: int
) -> None:
    proxy = make_proxy(api_keys=keys)
    proxy.components = replace(proxy.components, metrics_key=own)
    async with client_of(proxy) as http:
        headers = {"Authorization": f"Bearer {sent}"} if sent else {}
        assert (await http.get("/metrics", headers=headers)).status == status


async def test_it_can_be_taken_away() -> None:
    proxy = make_proxy()
    proxy.components = replace(proxy.components, show_metrics=False)
    async with client_of(proxy) as http:
        assert (await http.get("/metrics")).status == 404
