"""``/kv/v1/requests``: every request for a model when it has ended, for its own tenant only."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kvproxy.server.middleware.watching import NOT_SERVED, client_of
from kvproxy.telemetry.usage.usage_book import UsageBook
from tests.server.doubles import Http, ask, eventually, make_proxy
from tests.server.doubles import client_of as proxy_client

CHAT = "/v1/chat/completions"
REQUESTS = "/kv/v1/requests"
KEYS = (("ann", "key-of-ann-0123456789"), ("bob", "key-of-bob-0123456789"))


def bearer(number: int) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[number][1]}", "User-Agent": "claude-cli/2.1.197 (external, cli)"}


async def listed(http: Http, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    answer = await http.get(REQUESTS, headers=headers)
    assert answer.status == 200
    data: list[dict[str, Any]] = (await answer.json())["data"]
    return data


async def test_a_miss_and_then_a_hit() -> None:
    async with proxy_client(make_proxy()) as http:
        for stream in (False, True):
            await (await http.post(CHAT, json=ask("x" * 300, stream=stream))).read()
        miss, hit = await listed(http)
    assert (miss["outcome"], miss["reason"], miss["cached_tokens"]) == ("miss", "no-document", 0)
    assert (hit["outcome"], hit["reason"], hit["cached_tokens"]) == ("hit", None, 302)
    assert miss["prompt_tokens"] == hit["prompt_tokens"] == 303
    assert miss["completion_tokens"] == hit["completion_tokens"] > 0
    assert hit["model"] == "fake" and hit["status"] == 200 and hit["endpoint"] == CHAT
    assert 0 <= hit["ttft_s"] <= hit["total_s"]


async def test_refusals_say_their_code_and_other_models_are_bypassed() -> None:
    async with proxy_client(make_proxy()) as http:
        await http.post(CHAT, json=ask(temperature=9))
        await http.post("/v1/messages", json={"model": "nobody", "max_tokens": 1, "messages": []})
        await http.post(CHAT, json=ask(model="gpt-far"))
        bad, unknown, far = await listed(http)
    assert (bad["outcome"], bad["status"], bad["reason"]) == ("refused", 400, "invalid_request_error")
    assert (unknown["outcome"], unknown["status"], unknown["reason"]) == ("refused", 404, "model_not_found")
    assert (far["outcome"], far["model"], far["prompt_tokens"]) == ("bypass", "gpt-far", None)


async def test_a_path_that_is_not_served_is_not_told() -> None:
    async with proxy_client(make_proxy()) as http:
        await http.post("/v1/kv/v1/documents/private-plan@1/pin")
        await http.post("/v1/models")
        await http.post("/v1/messages/count_tokens", json={"model": "nobody", "messages": []})
        wrong, not_so, counted = await listed(http)
    assert wrong["endpoint"] == not_so["endpoint"] == NOT_SERVED and wrong["status"] == 404
    assert counted["endpoint"] == "/v1/messages/count_tokens"


async def test_each_tenant_sees_its_own() -> None:
    async with proxy_client(make_proxy(api_keys=KEYS)) as http:
        await http.post(CHAT, json=ask(), headers=bearer(0))
        assert [r["client"] for r in await listed(http, bearer(0))] == ["claude-cli/2.1.197"]
        assert await listed(http, bearer(1)) == []
        assert (await http.get(REQUESTS)).status == 401


async def test_no_text_of_a_prompt_is_told() -> None:
    async with proxy_client(make_proxy()) as http:
        await http.post(CHAT, json=ask("a secret"))
        assert "secret" not in json.dumps(await listed(http))


async def test_watching_goes_on_until_the_proxy_shuts_down() -> None:
    proxy = make_proxy()
    async with proxy_client(proxy) as http:
        await http.post(CHAT, json=ask("before"))
        async with http.get(REQUESTS, headers={"Accept": "text/event-stream"}) as events:
            lines = [await events.content.readline() for _ in range(3)]
            assert lines[0] == b"event: request\n" and json.loads(lines[1][6:])["outcome"] == "miss"
            await http.post(CHAT, json=ask("after"))
            lines = [await events.content.readline() for _ in range(3)]
            assert lines[0] == b"event: request\n"
            proxy.drain.begin()
            async with asyncio.timeout(30):
                await events.content.read()
    await eventually(lambda: proxy.drain.in_flight == 0)


@pytest.mark.parametrize("last", ["-1", "501", "x", "1.5"])
async def test_a_wrong_count_is_refused(last: str) -> None:
    async with proxy_client(make_proxy()) as http:
        answer = await http.get(REQUESTS, params={"last": last})
        assert answer.status == 400
        assert (await answer.json())["error"]["param"] == "last"


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("claude-cli/2.1.197 (external, cli)", "claude-cli/2.1.197"),
        ("", "unknown"),
        ("\x1b[31mred", "[31mred"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_client_is_the_first_product_it_names(agent: str, client: str) -> None:
    assert client_of(agent) == client


async def test_a_fault_in_the_figures_takes_no_answer_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault in counting")

    monkeypatch.setattr(UsageBook, "note", fail)
    async with proxy_client(make_proxy()) as http:
        answer = await http.post(CHAT, json=ask())
        assert answer.status == 200 and (await answer.json())["choices"]
        assert len(await listed(http)) == 1
    assert "missing from the figures" in caplog.text
