"""`/kv/v1/requests` about a fleet's answers, and the callers that see replicas."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kvproxy.accounts.account_values import KeyOrder
from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.core import ALL_PERMISSIONS
from kvproxy.wire.service.served_requests import KvRequest
from tests.charging.charged_proxy import TEXT, charged_with
from tests.server.doubles import ask, client_of
from tests.server.markets import bearer, market_proxy

CHAT = "/v1/chat/completions"
END = 1 + len(TEXT)
BLOCKS = END - END % 128
HANDBOOK = {
    "model": "fake",
    "messages": [
        {"role": "system", "content": [{"type": "kv_document", "document": "handbook@1"}]},
        {"role": "user", "content": "why?"},
    ],
}


async def test_watchers_see_the_reported_number_and_administrators_the_replica() -> None:
    keys = (("boss", "key-of-boss-0123456789"), ("ann", "key-of-ann-0123456789"))
    permissions = {"boss": ALL_PERMISSIONS}
    setup = charged_with(ExpectingBackend(), api_keys=keys, permissions=permissions)
    shown = []
    async with client_of(setup.proxy) as http:
        body = {"id": "handbook", "text": TEXT}
        await http.post("/kv/v1/documents", json=body, headers={"Authorization": f"Bearer {keys[0][1]}"})
        for _, key in keys:
            headers = {"Authorization": f"Bearer {key}"}
            await (await http.post(CHAT, json=HANDBOOK, headers=headers)).read()
            listed = await (await http.get("/kv/v1/requests", headers=headers)).json()
            shown.append(listed["data"][-1])
    for entry in shown:
        assert (entry["outcome"], entry["cached_tokens"], entry["cause"]) == (
            "hit",
            BLOCKS,
            "rounded-to-block",
        )
        assert entry["rounded_tokens"] == END - BLOCKS
    assert [entry.get("replica") for entry in shown] == ["replica-a", None]


async def test_a_stream_of_requests_hides_the_replica_too() -> None:
    keys = (("ann", "key-of-ann-0123456789"),)
    headers = {"Authorization": f"Bearer {keys[0][1]}"}
    async with client_of(charged_with(ExpectingBackend(), api_keys=keys).proxy) as http:
        await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT}, headers=headers)
        await (await http.post(CHAT, json=HANDBOOK, headers=headers)).read()
        watching = await http.get("/kv/v1/requests", headers={**headers, "Accept": "text/event-stream"})
        shown = await watching.content.readuntil(b"\n\n")
        watching.close()
    assert b'"rounded_tokens"' in shown and b"replica" not in shown


async def test_the_head_of_a_stream_has_nothing_behind_it() -> None:
    """Events would be read as the next answer of the connection."""
    async with client_of(charged_with(ExpectingBackend()).proxy) as http:
        for _ in range(3):
            head = await http.head("/kv/v1/requests", headers={"Accept": "text/event-stream"})
            assert head.status == 200 and await head.read() == b""
            listed = await http.get("/kv/v1/requests")
            assert (await listed.json())["object"] == "list"


async def test_a_stream_ends_with_its_key(tmp_path: Path) -> None:
    async with market_proxy(tmp_path) as market, client_of(market.proxy) as http:
        made = await asyncio.to_thread(market.accounts.create_key, KeyOrder("alice", frozenset({"read"})))
        headers = bearer(made.text) | {"Accept": "text/event-stream"}
        async with http.get("/kv/v1/requests", headers=headers) as watching:
            await (await http.post(CHAT, json=ask(), headers=bearer(made.text))).read()
            await watching.content.readuntil(b"event: request")
            await asyncio.to_thread(market.accounts.revoke_key, made.stored.id)
            feed = market.proxy.components.feed
            later = KvRequest(**feed.recent(market.accounts.tenant("alice").scope, 1)[0])
            later["id"] = "after-the-end"
            feed.put(market.accounts.tenant("alice").scope, later)
            rest = await watching.content.read()
    assert b"after-the-end" not in rest
