from __future__ import annotations

import json

import pytest

from kvproxy.server.openapi.operations import OPERATIONS
from tests.server.doubles import ask, client_of, make_proxy

KEY = "key-0123456789abcdef"
PAGE = "http://localhost:3000"
EVIL = "https://evil.example"
CHAT = "/v1/chat/completions"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


@pytest.mark.parametrize("path", sorted({o.path for o in OPERATIONS} | {"/v1/v1/models", "/nowhere"}))
async def test_a_preflight_needs_no_key_and_no_right_path(path: str) -> None:
    async with client_of(make_proxy(api_keys=(("a", KEY),))) as http:
        answer = await http.options(path, headers={"Origin": PAGE, **PREFLIGHT})
        assert (answer.status, await answer.read()) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Headers"] == PREFLIGHT["Access-Control-Request-Headers"]
        assert "POST" in answer.headers["Access-Control-Allow-Methods"] and answer.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Private-Network" not in answer.headers
        refused = await http.options(path, headers={"Origin": EVIL, **PREFLIGHT})
        assert [name for name in refused.headers if name.lower().startswith("access-control")] == []


async def test_a_preflight_for_a_private_network_and_one_with_odd_headers() -> None:
    async with client_of(make_proxy()) as http:
        asked = {"Origin": PAGE, **PREFLIGHT, "Access-Control-Request-Private-Network": "true"}
        answer = await http.options(CHAT, headers=asked)
        assert answer.headers["Access-Control-Allow-Private-Network"] == "true"
        answer = await http.options(CHAT, headers={**asked, "Access-Control-Request-Headers": "a b<c>"})
        assert answer.status == 204 and "Access-Control-Allow-Headers" not in answer.headers


async def test_answers_errors_and_streams_can_be_read_by_the_page() -> None:
    async with client_of(make_proxy(api_keys=(("a", KEY),))) as http:
        key = {"Authorization": f"Bearer {KEY}"}
        for path, body, headers, status in (
            (CHAT, ask(), key, 200),
            (CHAT, ask(stream=True), key, 200),
            ("/v1/messages", ask(max_tokens=4, stream=True), key, 200),
            (CHAT, {}, key, 400),
            (CHAT, ask(), {}, 401),
            ("/nowhere", {}, key, 404),
            ("/v1/models", {}, key, 405),
            (CHAT, ask(model="gpt-far"), key, 200),
        ):
            answer = await http.post(path, json=body, headers={"Origin": PAGE, **headers})
            await answer.read()
            assert answer.status == status
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
            wanted = {
                "cache-status",
                "server-timing",
                "x-request-id",
                "request-id",
                "x-kvproxy-left-out",
                "x-kvproxy-retained",
                "retry-after",
            }
            assert wanted <= set(exposed)
            assert "Origin" in answer.headers["Vary"]


async def test_for_every_origin_and_for_none() -> None:
    async with client_of(make_proxy(cors_origins=("*",))) as http:
        answer = await http.post(CHAT, json=ask(), headers={"Origin": EVIL})
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in answer.headers
    async with client_of(make_proxy(cors_origins=(), api_keys=(("a", KEY),))) as http:
        answer = await http.post(CHAT, json=ask(), headers={"Origin": PAGE, "x-api-key": KEY})
        assert answer.status == 200 and "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/kv/v1/documents", "/tokenize"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("headers", [{"Origin": EVIL}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_a_foreign_page_cannot_drive_a_proxy_without_keys(
    path: str, kind: str, headers: dict[str, str]
) -> None:
    proxy = make_proxy()
    body = json.dumps(
        {**ask(max_tokens=4), "id": "evil", "text": "evil"}
        if path != "/kv/v1/documents"
        else {"id": "evil", "text": "evil"}
    )
    async with client_of(proxy) as http:
        answer = await http.post(path, data=body, headers={"Content-Type": kind, **headers})
        told = await answer.json()
        assert answer.status == 403 and "cors_origins" in told["error"]["message"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert (await http.delete("/kv/v1/documents/x", headers=headers)).status == 403
    assert proxy.backend.generations == [] and proxy.composer.texts == {}


async def test_others_can_still_ask() -> None:
    async with client_of(make_proxy()) as http:
        for headers in (
            {},
            {"Content-Type": "text/plain"},
            {"Origin": PAGE},
            {"Origin": "app://obsidian.md"},
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
        ):
            assert (await http.post(CHAT, data=json.dumps(ask()), headers=headers)).status == 200, headers
    async with client_of(
        make_proxy(api_keys=(("a", KEY),))
    ) as http:  # a request with a key may come from any origin
        answer = await http.post(CHAT, json=ask(), headers={"Origin": EVIL, "x-api-key": KEY})
        assert answer.status == 200 and "Access-Control-Allow-Origin" not in answer.headers
        assert (await http.post(CHAT, json=ask(), headers={"Origin": EVIL})).status == 401


async def test_a_name_that_was_made_to_point_here() -> None:
    rebound = {"Host": "evil.example:8321"}
    async with client_of(make_proxy()) as http:
        for path in ("/v1/models", "/kv/v1/documents", "/metrics"):
            answer = await http.get(path, headers=rebound)
            assert answer.status == 403 and (await answer.json())["error"]["code"] == "origin_refused"
        same = {**rebound, "Origin": "http://evil.example:8321"}
        assert (await http.post(CHAT, data=json.dumps(ask()), headers=same)).status == 403
        for path in ("/health/ready", "/", "/docs"):  # health checks of load balancers, and public pages
            assert (await http.get(path, headers=rebound)).status == 200
        assert (await http.get("/v1/models", headers={"Host": "box.local:8321"})).status == 200
    async with client_of(make_proxy(cors_origins=("http://evil.example:8321",))) as http:
        assert (await http.get("/v1/models", headers=rebound)).status == 200
    async with client_of(make_proxy(api_keys=(("a", KEY),))) as http:
        assert (await http.get("/v1/models", headers={**rebound, "x-api-key": KEY})).status == 200
