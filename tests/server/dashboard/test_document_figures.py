"""Reads by day and time saved: a publisher sees those of all readers of its own documents, a reader its own."""

from __future__ import annotations

from tests.server.dashboard.browsing import Browser
from tests.server.dashboard.test_documents_view_route import events, publish

ASKED = {"document": "rules@1", "question": "Why?", "tokens": "4", "side": "warm"}


async def test_a_publisher_sees_all_reads_and_another_reader_only_its_own(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    await shop_browser.log_in("key-of-bob")
    token = (await shop_browser.get("/ui/documents")).token
    await events(shop_browser, "/ui/playground/answer", token, ASKED)
    assert "1 hit, 0 misses of yours" in (await shop_browser.get("/ui/documents/rules")).words
    await shop_browser.log_in("key-of-alice")
    assert "1 hit, 0 misses" in (await shop_browser.get("/ui/documents/rules")).words
    await shop_browser.log_in("key-of-reader")
    assert "0 hits, 0 misses of yours" in (await shop_browser.get("/ui/documents/rules")).words
