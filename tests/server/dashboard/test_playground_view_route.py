"""The playground, without a script and as its script asks: two requests of the caller, each with its own bill."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from kvproxy.dashboard.views.playground_view import NO_COLD
from kvproxy.errors import Overloaded
from tests.documents.library.granted_rights import PlannedRights
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.dashboard.document_shop import open_shop
from tests.server.dashboard.test_documents_view_route import events, publish
from tests.server.doubles import Proxy, eventually
from tests.telemetry.tracing.kept_spans import KeptSpans, told

ASKED = {"document": "rules@1", "question": "What does rule 7 say?", "tokens": "8"}


async def test_the_first_visitor_publishes_the_example(shop_browser: Browser) -> None:
    first = await shop_browser.log_in("key-of-alice")
    assert first.path == "/ui/playground" and "Publish the example" in first.words
    done = await shop_browser.post("/ui/playground/example", {"csrf": first.token})
    assert done.path == "/ui/playground" and "Published apache-2.0@1" in done.words
    assert "What does this license say about patents?" in done.text, "a question that makes sense of it"
    await shop_browser.log_in("key-of-reader")
    assert "apache-2.0@1" in (await shop_browser.get("/ui/playground")).text


async def test_a_reader_of_nothing_is_told_so_and_offered_no_button(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-reader")
    seen = await shop_browser.get("/ui/playground")
    assert "there is nothing that it may read yet" in seen.words and "Publish the example" not in seen.words


async def test_without_a_script_one_form_shows_both_answers(
    shop_browser: Browser, document_proxy: Proxy
) -> None:
    browser, proxy = shop_browser, document_proxy
    await browser.log_in("key-of-alice")
    await publish(browser, "rules")
    form = await browser.get("/ui/playground")
    shown = await browser.post("/ui/playground", {"csrf": form.token, **ASKED})
    assert shown.status == 200 and "The answers are equal" in shown.words
    assert "sooner to the first token" in shown.words
    cold, warm = proxy.backend.generations[-2:]
    assert cold.fresh and not warm.fresh, "cold first, then warm"
    assert cold.prompt == warm.prompt and cold.sampling == warm.sampling
    assert cold.sampling.temperature == 0, "greedy, or the answers could not be compared"
    overview = await proxy.components.usage.overview("alice")
    today = overview.today
    assert (today.hits, today.misses, today.cold) == (1, 0, 1), "the cold side is no hit that was lost"
    assert "1 asked cold beside" in (await browser.get("/ui/overview")).words


async def test_each_side_streams_its_tokens_and_its_figures(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    token = (await publish(shop_browser, "rules")).token
    told: dict[str, list[tuple[str, Any]]] = {}
    for side in ("cold", "warm"):
        fields = {**ASKED, "side": side}
        told[side] = await events(shop_browser, "/ui/playground/answer", token, fields)
        names = [name for name, _ in told[side]]
        assert names[0] == "started" and names[-1] == "done" and set(names[1:-1]) == {"piece"}
    cold, warm = told["cold"][0][1], told["warm"][0][1]
    assert (cold["hit"], cold["reason"], cold["cached_tokens"]) == (False, "asked-cold", 0)
    assert warm["hit"] and 0 < warm["cached_tokens"] < warm["prompt_tokens"]
    assert cold["ttft_s"] > 0 and told["warm"][-1][1]["cached_tokens"] == warm["cached_tokens"]
    said = [[piece["text"] for name, piece in told[side] if name == "piece"] for side in ("cold", "warm")]
    assert said[0] == said[1] and "".join(said[0])


async def test_each_side_has_a_span_like_any_request_of_a_model(document_proxy: Proxy) -> None:
    kept = KeptSpans()
    async with browsing(kept.of(document_proxy)) as browser:
        await browser.log_in("key-of-alice")
        token = (await publish(browser, "rules")).token
        for side in ("cold", "warm"):
            await events(browser, "/ui/playground/answer", token, {**ASKED, "side": side})
    cold, warm = [span for span in kept.requests if told(span).get("gen_ai.operation.name") == "chat"]
    assert cold.name == warm.name and cold.name.startswith("chat ")
    assert (
        told(cold)["gen_ai.usage.cache_read.input_tokens"]
        == 0
        != told(warm)["gen_ai.usage.cache_read.input_tokens"]
    )
    assert all({"compose", "match", "decode"} <= set(kept.below(span)) for span in (cold, warm))
    everything = "".join(span.to_json() for span in kept.all)
    assert ASKED["question"] not in everything and "rules" not in everything and token not in everything


async def test_a_wrong_request_is_refused_as_the_api_refuses_it(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    token = (await publish(shop_browser, "rules")).token
    headers = {"Accept": "text/event-stream", "X-CSRF-Token": token}
    for fields, status in (
        ({**ASKED, "side": "tepid"}, 400),
        ({**ASKED, "side": "warm", "document": "no-such@1"}, 404),
        ({**ASKED, "side": "warm", "model": "no-such-model"}, 404),
    ):
        async with shop_browser.http.post("/ui/playground/answer", data=fields, headers=headers) as answer:
            assert answer.status == status and json.loads(await answer.text())["error"]["message"]


async def test_who_leaves_ends_the_generation(shop_browser: Browser, document_proxy: Proxy) -> None:
    browser, proxy = shop_browser, document_proxy
    await browser.log_in("key-of-alice")
    token = (await publish(browser, "rules")).token
    proxy.backend.gate = asyncio.Event()
    asking = asyncio.create_task(events(browser, "/ui/playground/answer", token, {**ASKED, "side": "cold"}))
    await eventually(lambda: bool(proxy.backend.running))
    asking.cancel()
    await eventually(lambda: not proxy.backend.running)
    proxy.backend.gate.set()


async def test_a_document_that_is_not_there_is_said_before_anybody_asks(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    nothing = await shop_browser.get("/ui/playground?document=rules@1")
    assert "No such document: 'rules@1'" in nothing.words and "Publish the example" in nothing.words
    await publish(shop_browser, "rules")
    await publish(shop_browser, "plan", visibility="private")
    assert "No such document" not in (await shop_browser.get("/ui/playground?document=rules")).words
    for name in ("rules@9", "nothing@1"):
        seen = await shop_browser.get(f"/ui/playground?document={name}")
        assert f"No such document: '{name}'" in seen.words and f'value="{name}"' not in seen.text
    await shop_browser.log_in("key-of-bob")
    form = await shop_browser.get("/ui/playground?document=plan@1")
    assert "No such document: 'plan@1'" in form.words
    fields = {"csrf": form.token, **ASKED, "document": "plan@1"}
    asked = await shop_browser.post("/ui/playground", fields)
    assert asked.words.count("No such document: 'plan@1'") == 3, "above, and on either side"


async def test_a_document_that_is_read_by_a_grant_has_a_warm_side_alone(
    tiny_model: Path, tmp_path: Path
) -> None:
    rights = PlannedRights()
    shop, proxy = await asyncio.to_thread(open_shop, tiny_model, tmp_path, rights)
    try:
        async with browsing(proxy) as browser:
            await browser.log_in("key-of-alice")
            await publish(browser, "rules", visibility="granted")
            rights.grant("rules", "bob")
            form = await browser.log_in("key-of-bob", "/ui/playground")
            shown = await browser.post("/ui/playground", {"csrf": form.token, **ASKED})
            assert shown.status == 200 and f"{NO_COLD}" in shown.words
            assert "The answers" not in shown.words and "Leave" not in shown.words
            assert shown.words.count("Done") == 1, "the warm side was asked"
            assert f'data-no-cold="{NO_COLD}"'.replace("'", "&#39;") in shown.text
            refused = {"Accept": "text/event-stream", "X-CSRF-Token": form.token}
            fields = {**ASKED, "side": "cold"}
            async with browser.http.post("/ui/playground/answer", data=fields, headers=refused) as answer:
                assert answer.status == 403 and (await answer.json())["error"]["param"] == "kv_reuse"
            told = await events(browser, "/ui/playground/answer", form.token, {**ASKED, "side": "warm"})
            assert told[0][1]["hit"]
            document = await browser.get("/ui/documents/rules")
            assert "Rule 0" not in document.words and "you read it by a grant" in document.words
    finally:
        await asyncio.to_thread(shop.close)


async def test_an_engine_that_is_full_is_said_to_be(shop_browser: Browser, document_proxy: Proxy) -> None:
    browser, backend = shop_browser, document_proxy.backend
    await browser.log_in("key-of-alice")
    token = (await publish(browser, "rules")).token
    full = Overloaded("256 requests wait already.", retry_after_s=3)
    backend.fail_next(full)
    shown = await browser.post("/ui/playground", {"csrf": token, **ASKED})
    assert shown.status == 429 and "256 requests wait already." in shown.words
    assert shown.answer.headers["Retry-After"] == "3" and len(backend.generations) == 1, "no second side"
    backend.fail_next(full)
    headers = {"Accept": "text/event-stream", "X-CSRF-Token": token}
    fields = {**ASKED, "side": "cold"}
    async with browser.http.post("/ui/playground/answer", data=fields, headers=headers) as answer:
        assert answer.status == 429 and "wait already" in (await answer.json())["error"]["message"]


async def test_what_is_free_is_said_to_be(shop_browser: Browser) -> None:
    await shop_browser.log_in("key-of-alice")
    await publish(shop_browser, "rules")
    assert (await shop_browser.get("/ui/playground")).words.count("free: no tariff is set") == 2
    assert "Price of a read free no tariff is set" in (await shop_browser.get("/ui/documents/rules")).words
    assert "No tariff is set: reads are free" in (await shop_browser.get("/ui/documents")).words
