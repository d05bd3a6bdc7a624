"""The actions of a document's form, with and without a script."""

from __future__ import annotations

import pytest
from aiohttp import FormData

from tests.server.dashboard.browsing import ACCEPT, Browser
from tests.server.dashboard.document_shop import TEXT
from tests.server.dashboard.test_documents_view_route import act, events, publish


async def test_pin_warm_and_verify_say_what_they_did(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    pinned = await act(shop_browser, "rules@1", "pin")
    assert "Pinned rules@1" in pinned.words and "Unpin" in pinned.words
    assert "is not pinned any more" in (await act(shop_browser, "rules@1", "unpin")).words
    assert "rules@1 is warm" in (await act(shop_browser, "rules@1", "warm")).words
    token = pinned.token
    told = await events(shop_browser, "/ui/documents/rules@1", token, {"action": "verify"})
    assert told[-1][0] == "result" and told[-1][1]["said"].startswith("Exact: ")
    assert told[-1][1]["path"] == "/ui/documents/rules@1"
    assert (await act(shop_browser, "rules@1", "explode")).status == 400


@pytest.mark.parametrize("action", ["revoke", "delete"])
async def test_an_end_is_confirmed_without_a_script(shop_browser: Browser, action: str) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    asked = await shop_browser.get(f"/ui/documents/rules@1?confirm={action}")
    assert f"{action.title()} rules@1?" in asked.words, "a view asks, and its form does it"
    assert (await shop_browser.get("/ui/documents/rules@1")).status == 200, "asking alone does nothing"
    done = await act(shop_browser, "rules@1", action, reason="withdrawn by legal")
    assert done.path == "/ui/documents" and "rules@1" in done.words
    gone = await shop_browser.get("/ui/documents/rules@1")
    assert gone.status == (410 if action == "revoke" else 404)


async def test_a_file_is_uploaded_with_progress_of_its_tokens(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    token = (await shop_browser.get("/ui/documents")).token
    form = FormData({"id": "uploaded", "text": "", "visibility": ""})
    form.add_field("file", ("\ufeff" + TEXT).encode(), filename="rules.txt", content_type="text/plain")
    told = await events(shop_browser, "/ui/documents", token, form)
    assert [name for name, _ in told][-2:] == ["progress", "result"]
    progress = told[-2][1]
    assert progress["done"] == progress["total"] > 0
    assert told[-1][1]["path"] == "/ui/documents/uploaded"
    broken = FormData({"id": "broken", "csrf": token})
    broken.add_field("file", b"\xff\xfe\x00", filename="x.bin")
    async with shop_browser.http.post("/ui/documents", data=broken, headers=ACCEPT) as answer:
        assert answer.status == 400 and "not a text in UTF-8" in await answer.text()
    refused = await publish(shop_browser, "no spaces here")
    assert refused.status == 400 and "Invalid" in refused.words
