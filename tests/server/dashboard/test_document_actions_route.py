"""The actions of a document's form, with and without a script."""

from __future__ import annotations

import asyncio
import io

import pytest
from aiohttp import FormData

from kvproxy.errors import CannotFit, Overloaded
from tests.server.dashboard.browsing import ACCEPT, Browser
from tests.server.dashboard.document_shop import TEXT
from tests.server.dashboard.test_documents_view_route import act, events, publish
from tests.server.doubles import Proxy, eventually


async def test_pin_warm_and_verify_say_what_they_did(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    pinned = await act(shop_browser, "rules@1", "pin")
    assert "Pinned rules@1" in pinned.words and "Unpin" in pinned.words
    assert "is not pinned any more" in (await act(shop_browser, "rules@1", "unpin")).words
    assert "rules@1 was warm already" in (await act(shop_browser, "rules@1", "warm")).words
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
    refused = await publish(shop_browser, "no spaces here")
    assert refused.status == 400 and "Invalid" in refused.words


@pytest.mark.parametrize(
    ("content", "pasted", "said"),
    [
        (b"\x89PNG\xff", "", "not a text in UTF-8: byte 0"),
        ("Rules".encode("utf-16-le"), "", "not a text in UTF-8: it has bytes of 0"),
        (b"", "", "The file is empty"),
        (b" \n\t", "", "The file is empty"),
        (TEXT.encode(), TEXT, "and a pasted text as well"),
    ],
)
async def test_a_file_that_is_no_text_is_refused_and_says_how_to_go_on(
    shop_browser: Browser, content: bytes, pasted: str, said: str
) -> None:
    await shop_browser.log_in("key-of-alice")
    view = await shop_browser.get("/ui/documents?q=x")
    form = FormData({"id": "broken", "csrf": view.token, "text": pasted})
    form.add_field("file", content, filename="rules.txt")
    headers = ACCEPT | {"Referer": str(view.answer.url)}
    async with shop_browser.http.post("/ui/documents", data=form, headers=headers) as answer:
        text = await answer.text()
    assert answer.status == 400 and said in text
    assert '<a class="button" href="/ui/documents?q=x">Back to the form</a>' in text
    assert (await shop_browser.get("/ui/documents/broken")).status == 404, "nothing was published"


async def test_the_way_back_leads_to_no_other_site(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    token = (await shop_browser.get("/ui/documents")).token
    own = str(shop_browser.http.make_url("/"))
    for referer in ("https://elsewhere.example/ui/documents", f"{own}v1/models", f"{own}uis"):
        fields = {"csrf": token, "id": "x", "text": ""}
        refused = await shop_browser.post("/ui/documents", fields, headers={"Referer": referer})
        assert refused.status == 400 and "Back to the form" not in refused.words


async def test_ids_that_are_taken_or_cannot_be_are_said_to_be(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    assert "rules@1 has this text already" in (await publish(shop_browser, "rules")).words
    longest = "team/" + "a" * 123
    assert (await publish(shop_browser, longest)).path == f"/ui/documents/{longest}"
    assert longest in (await shop_browser.get("/ui/documents")).words
    for wrong in ("a" * 129, "a/../b", "/a", "a//b", ""):
        refused = await publish(shop_browser, wrong)
        assert refused.status == 400 and "Invalid" in refused.words
    await shop_browser.log_in("key-of-bob")
    taken = await publish(shop_browser, "rules", TEXT + "And more.")
    assert taken.status == 403 and "belongs to another publisher; choose another id" in taken.words


async def test_a_form_that_is_too_large_is_refused(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    assert 'data-most="1048576"' in (await shop_browser.get("/ui/documents")).text, (
        "for the script, before it sends"
    )
    token = (await shop_browser.get("/ui/documents")).token
    form = FormData({"id": "big", "csrf": token})
    form.add_field("file", io.BytesIO(b"word " * 300_000), filename="big.txt")
    async with shop_browser.http.post("/ui/documents", data=form, headers=ACCEPT) as answer:
        assert answer.status == 413 and "larger than 1048576 bytes" in await answer.text()
    long = await publish(shop_browser, "long", "word " * 30_000)
    assert long.status == 400 and "at most" in long.words, long.words


async def test_a_publish_that_fails_midway_says_so_and_leaves_nothing(
    shop_browser: Browser, document_proxy: Proxy
) -> None:
    await shop_browser.log_in("key-of-alice")
    token = (await shop_browser.get("/ui/documents")).token
    document_proxy.backend.fail_next(CannotFit("no page is free: wait, or publish less"))
    headers = {"Accept": "text/event-stream", "X-CSRF-Token": token}
    fields = {"id": "rules", "text": TEXT}
    async with shop_browser.http.post("/ui/documents", data=fields, headers=headers) as answer:
        told = await answer.text()
    assert "no page is free" in told and "Published" not in told
    assert (await shop_browser.get("/ui/documents/rules")).status == 404
    document_proxy.backend.fail_next(Overloaded("The engine is full.", retry_after_s=3))
    refused = await publish(shop_browser, "rules")
    assert refused.status == 429 and "The engine is full." in refused.words
    assert "Published rules@1" in (await publish(shop_browser, "rules")).words


async def test_a_verification_that_finds_a_difference_is_an_alarm(
    shop_browser: Browser, document_proxy: Proxy
) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    document_proxy.backend.difference = 0.5
    found = await act(shop_browser, "rules@1", "verify")
    assert '<p class="problem" role="alert">Not exact' in found.text
    assert "In quarantine." in found.words and "verify it, or publish it again" in found.words
    document_proxy.backend.difference = 0.0
    told = await events(shop_browser, "/ui/documents/rules@1", found.token, {"action": "verify"})
    assert not told[-1][1]["alarm"] and told[-1][1]["said"].startswith("Exact")
    assert "In quarantine." not in (await shop_browser.get("/ui/documents/rules@1")).words


async def test_a_version_that_is_being_read_can_be_revoked(
    shop_browser: Browser, document_proxy: Proxy
) -> None:
    await shop_browser.log_in("key-of-alice")
    view = await publish(shop_browser, "rules")
    document_proxy.backend.gate = asyncio.Event()

    async def ask() -> tuple[int, str]:
        fields = {"document": "rules@1", "question": "Why?", "tokens": "4", "side": "warm"}
        headers = {"Accept": "text/event-stream", "X-CSRF-Token": view.token}
        async with shop_browser.http.post("/ui/playground/answer", data=fields, headers=headers) as answer:
            return answer.status, await answer.text()

    asking = asyncio.create_task(ask())
    await eventually(lambda: bool(document_proxy.backend.running))
    done = await act(shop_browser, "rules@1", "revoke", reason="withdrawn")
    assert "Revoked rules@1: withdrawn" in done.words
    document_proxy.backend.gate.set()
    told, text = await asking
    assert told == 410 and "rules@1' was revoked by its publisher (withdrawn)" in text
    gone = await shop_browser.get("/ui/documents/rules@1")
    assert gone.status == 410 and "withdrawn" in gone.words
    asked = {"csrf": view.token, "document": "rules@1", "question": "Why?"}
    assert "withdrawn" in (await shop_browser.post("/ui/playground", asked)).words
