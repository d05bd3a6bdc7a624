"""The views of documents and their actions, for a browser without scripts: who may see and do what."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from kvproxy.core.replica_choice import ReplicaResidency
from kvproxy.dashboard.shown_values import NOTHING
from tests.server.dashboard.browsing import Browser, Page
from tests.server.dashboard.document_shop import TEXT
from tests.server.doubles import Proxy

PRIVATE = "Nobody else knows: " + TEXT


async def publish(browser: Browser, id: str, text: str = TEXT, **fields: str) -> Page:
    form = await browser.get("/ui/documents")
    return await browser.post("/ui/documents", {"csrf": form.token, "id": id, "text": text, **fields})


async def act(browser: Browser, ref: str, action: str, **fields: str) -> Page:
    form = await browser.get("/ui/documents")
    return await browser.post(f"/ui/documents/{ref}", {"csrf": form.token, "action": action, **fields})


async def events(browser: Browser, path: str, token: str, fields: Any) -> list[tuple[str, Any]]:
    headers = {"Accept": "text/event-stream", "X-CSRF-Token": token}
    async with browser.http.post(path, data=fields, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        blocks = (await answer.text()).split("\n\n")
    lines = [dict(line.split(": ", 1) for line in b.splitlines() if not line.startswith(":")) for b in blocks]
    return [(block["event"], json.loads(block["data"])) for block in lines if "event" in block]


async def test_a_document_is_pasted_found_and_looked_at(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    empty = await shop_browser.get("/ui/documents")
    assert "Nothing is published yet" in empty.words
    done = await publish(shop_browser, "team/rules")
    assert done.path == "/ui/documents/team/rules" and "Published team/rules@1" in done.words
    for word in ("current", "yours", "Held in", "memory", "Rule 0: everyone"):
        assert word in done.words
    listed = await shop_browser.get("/ui/documents?q=RULE&sort=tokens&order=desc")
    assert 'href="/ui/documents/team/rules"' in listed.text and "1 to 1 of 1" in listed.words
    assert "No document is so" in (await shop_browser.get("/ui/documents?q=other")).words
    second = await publish(shop_browser, "team/rules", TEXT + "And so on.\n")
    assert "team/rules@2" in second.words and "team/rules@1" in second.words, "both versions are shown"
    older = await shop_browser.get("/ui/documents/team/rules@1")
    assert "older" in older.words and (await shop_browser.get("/ui/documents/team/rules@9")).status == 404


async def test_what_is_private_is_there_for_nobody_else(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "secret-plan", PRIVATE, visibility="private")
    assert "secret-plan" in (await shop_browser.get("/ui/documents")).text
    await shop_browser.log_in("key-of-bob")
    for path in (
        "/ui/documents",
        "/ui/documents?q=secret",
        "/ui/documents?visibility=private",
        "/ui/playground",
    ):
        seen = await shop_browser.get(path)
        assert seen.status == 200 and "secret-plan" not in seen.text and "Nobody else" not in seen.text
    for path in ("/ui/documents/secret-plan", "/ui/documents/secret-plan@1", "/ui/documents/no-such-plan"):
        assert (await shop_browser.get(path)).status == 404
    for action in ("warm", "pin", "unpin", "verify", "delete"):
        refused = await act(shop_browser, "secret-plan@1", action)
        assert refused.status == 404, action
    assert (await act(shop_browser, "secret-plan@1", "revoke", reason="mine")).status == 404
    own = await publish(shop_browser, "secret-plan", "Bob's own. " + TEXT, visibility="private")
    assert own.status == 200 and "secret-plan@1" in own.words and "Nobody else" not in own.text


async def test_a_public_documents_readers_see_no_action_and_may_do_none(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    await shop_browser.log_in("key-of-bob")
    seen = await shop_browser.get("/ui/documents/rules")
    assert "Rule 0" in seen.words and "Delete…" not in seen.words and ">yours<" not in seen.text
    for action in ("warm", "pin", "delete"):
        assert (await act(shop_browser, "rules", action)).status == 403, action
    await shop_browser.log_in("key-of-reader")
    listed = await shop_browser.get("/ui/documents")
    assert "Publish a document" not in listed.words and 'href="/ui/documents/rules"' in listed.text
    token = (await shop_browser.get("/ui/documents")).token
    for path in ("/ui/documents", "/ui/documents/rules", "/ui/playground/example"):
        refused = await shop_browser.post(path, {"csrf": token, "id": "x", "text": "y", "action": "verify"})
        assert refused.status == 403 and "'publish'" in refused.words


async def test_no_action_without_the_sessions_token(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    for path in ("/ui/documents", "/ui/documents/rules", "/ui/playground", "/ui/playground/answer"):
        for token in ("", "0" * 64):
            refused = await shop_browser.post(path, {"csrf": token, "action": "delete", "side": "warm"})
            assert refused.status == 403, path
    assert (await shop_browser.get("/ui/documents/rules")).status == 200


async def test_of_a_fleets_document_nothing_is_said_that_replicas_do_not_tell(
    shop_browser: Browser, document_proxy: Proxy
) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    own = await shop_browser.get("/ui/documents/rules")
    assert "to load it from disk is" in own.words and "compares every bit" in own.words
    backend = document_proxy.backend
    backend.info = replace(backend.info, fleet=True, exact=False)
    backend.replicas = (ReplicaResidency("rack1", 1280, "device", None),)
    seen = await shop_browser.get("/ui/documents/rules")
    assert "replica 1 1,280" in seen.words and "memory" not in seen.words, "once, and by its replica"
    assert "to load it from disk" not in seen.words and f"{NOTHING}{NOTHING}" in seen.words
    assert "Replicas tell neither the size" in seen.words and "a fleet promises no equal bits" in seen.words
    assert "compares every bit" not in seen.words
