"""Answers of a fleet: expected counts until its replica has told its own, by which everything is billed and shown."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.core import MissCause
from kvproxy.errors import Overloaded
from tests.charging.charged_proxy import TEXT, Charged, charged_with
from tests.server.doubles import Http, client_of, eventually

CHAT = "/v1/chat/completions"
END = 1 + len(TEXT)
BLOCKS = END - END % 128
"""Positions of the document in whole blocks; it begins at 1."""


def handbook(**fields: Any) -> dict[str, Any]:
    system = [{"type": "kv_document", "document": "handbook@1"}]
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "why?"}]
    return {"model": "fake", "messages": messages, **fields}


async def publish(http: Http) -> None:
    assert (await http.post("/kv/v1/documents", json={"id": "handbook", "text": TEXT})).status == 201


def fleet_proxy(**options: Any) -> Charged[ExpectingBackend]:
    return charged_with(ExpectingBackend(), **options)


async def test_a_whole_answer_shows_and_bills_what_was_reported() -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        answer = await http.post(CHAT, json=handbook())
        body = await answer.json()
        assert (
            answer.headers["Cache-Status"]
            == f'kvproxy; hit; key="handbook@1"; detail="tokens={BLOCKS},block=128"'
        )
        assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == BLOCKS
        (read,) = setup.only().metered.documents
        assert read.tokens == BLOCKS - 1, "of whole blocks, from the document's first position on"
        setup.check_sums()


@pytest.mark.parametrize(
    ("reported", "cached", "read", "outcome"),
    [
        (0, 0, 0, "fwd=miss"),
        (256, 256, 255, "fwd=miss"),
        (384, 384, 383, "hit"),
        (10**6, None, END - 1, "hit"),
        (-5, 0, 0, "fwd=miss"),
    ],
    ids=["nothing", "less than a page of it", "a part", "more than the prompt", "below nothing"],
)
async def test_a_replica_that_was_believed_to_hold_all_is_billed_by_its_report(
    reported: int, cached: int | None, read: int, outcome: str
) -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        setup.backend.expected, setup.backend.reported = BLOCKS, reported
        answer = await http.post(CHAT, json=handbook())
        assert f"; {outcome}; " in answer.headers["Cache-Status"]
        usage = (await answer.json())["usage"]
        metered = setup.only().metered
        assert metered.document_tokens == read
        assert metered.cached_tokens == (usage["prompt_tokens"] if cached is None else cached)
        assert usage["prompt_tokens_details"]["cached_tokens"] == metered.cached_tokens, (
            "shown as it is billed"
        )
        setup.check_sums()


async def test_a_hit_that_nobody_expected_is_one() -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        setup.backend.expected, setup.backend.cause = 0, MissCause.NOT_ON_REPLICA
        answer = await http.post(CHAT, json=handbook())
        assert "; hit; " in answer.headers["Cache-Status"]
        assert setup.only().metered.document_tokens == BLOCKS - 1
        assert setup.counted("kvproxy_fleet_expectations", reported="more") == 1


async def test_a_stream_begins_with_the_expected_number_and_ends_with_the_reported_one() -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        setup.backend.expected, setup.backend.reported = BLOCKS, 384
        answer = await http.post(CHAT, json=handbook(stream=True, stream_options={"include_usage": True}))
        text = await answer.text()
    key = 'key="handbook@1"'
    assert answer.headers["Cache-Status"] == f'kvproxy; hit; {key}; detail="expected={BLOCKS}"'
    comments = [line for line in text.splitlines() if line.startswith(":")]
    assert comments == [f': Cache-Status: kvproxy; hit; {key}; detail="tokens=384; cause=evicted"']
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert events[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] == 384
    assert setup.only().metered.document_tokens == 383


async def test_a_message_stream_claims_no_cached_tokens_before_they_are_reported() -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        system, asked = [{"type": "text", "text": TEXT}], handbook()["messages"][1:]
        message = {
            "model": "fake",
            "max_tokens": 32,
            "stream": True,
            "system": system,
            "messages": asked,
        }
        text = await (await http.post("/v1/messages", json=message)).text()
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    start, end = events[0]["message"]["usage"], events[-2]["usage"]
    assert (start["cache_read_input_tokens"], start["cache_creation_input_tokens"]) == (None, None)
    assert end["cache_read_input_tokens"] == BLOCKS
    assert start["input_tokens"] == sum(
        end[name] for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )


async def test_who_leaves_in_the_middle_pays_no_read_and_not_for_expected_positions() -> None:
    setup = fleet_proxy(token_delay_s=0.01)
    async with client_of(setup.proxy) as http:
        await publish(http)
        answer = await http.post(CHAT, json=handbook(stream=True))
        await answer.content.readuntil(b"\n\n")
        answer.close()
        await eventually(lambda: bool(setup.bookings))
    booking = setup.only()
    prompt_tokens = len(setup.backend.generations[-1].prompt.token_ids)
    assert booking.outcome == "left"
    assert booking.metered.prompt_tokens == prompt_tokens - BLOCKS
    assert (booking.metered.cached_tokens, booking.metered.documents) == (0, ())
    setup.check_sums()
    assert setup.counted("kvproxy_prompt_tokens", source="unconfirmed") == BLOCKS


ASKED = [{"role": "user", "content": f"{TEXT}why?"}]
DIALECTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": ASKED, "max_tokens": 32, "n": 2},
    "/v1/completions": {"prompt": [f"{TEXT}why?", "and how?"], "max_tokens": 32},
    "/v1/responses": {"input": ASKED, "max_output_tokens": 32, "store": False},
    "/v1/messages": {"messages": ASKED, "max_tokens": 32},
}


def told_usage(text: str, *, streamed: bool) -> tuple[int, int, int]:
    """Return prompt, cached and completion tokens of an answer's last usage, in whichever dialect."""
    found = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    values = [value.get("response", value) for value in found] if streamed else [json.loads(text)]
    usage = [value["usage"] for value in values if value.get("usage")][-1]
    new = usage["output_tokens"] if "output_tokens" in usage else usage["completion_tokens"]
    if "cache_read_input_tokens" in usage:  # Anthropic's three counts are disjoint
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + cached + usage["cache_creation_input_tokens"], cached, new
    prompt = usage["input_tokens"] if "input_tokens" in usage else usage["prompt_tokens"]
    details = usage.get("input_tokens_details") or usage["prompt_tokens_details"]
    return prompt, details["cached_tokens"], new


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("reported", "generated"), [(None, None), (256, None), (10**6, 10**6), (-5, -5)])
@pytest.mark.parametrize("path", DIALECTS)
async def test_every_dialect_and_the_watcher_show_what_is_billed(
    path: str, reported: int | None, generated: int | None, streamed: bool
) -> None:
    setup = fleet_proxy()
    setup.backend.reported, setup.backend.generated = reported, generated
    body = {"model": "fake", "stream": streamed, **DIALECTS[path]}
    if streamed and "completions" in path:
        body["stream_options"] = {"include_usage": True}
    async with client_of(setup.proxy) as http:
        answer = await http.post(path, json=body)
        assert answer.status == 200, await answer.text()
        shown = told_usage(await answer.text(), streamed=streamed)
        (watched,) = (await (await http.get("/kv/v1/requests")).json())["data"]
    metered = setup.only().metered
    assert shown == (metered.prompt_tokens, metered.cached_tokens, metered.completion_tokens)
    if path != "/v1/completions":  # of several prompts the first is watched
        assert (watched["cached_tokens"], watched["completion_tokens"]) == shown[1:]
    setup.check_sums()


class LateChoice(ExpectingBackend):
    """The second choice of an answer gets no first token."""

    waiting = False

    async def _prefill(self, generation: Generation) -> int:
        if generation.request_id.endswith("-1"):
            self.waiting = True
            await asyncio.Event().wait()
        return await super()._prefill(generation)


@pytest.mark.parametrize("streamed", [False, True])
async def test_who_leaves_while_a_further_choice_waits_pays_no_read_that_nobody_has_reported(
    streamed: bool,
) -> None:
    setup = charged_with(LateChoice())
    async with client_of(setup.proxy) as http:
        await publish(http)
        asking = asyncio.create_task(http.post(CHAT, json=handbook(n=2, stream=streamed)))
        await eventually(lambda: setup.backend.waiting)
        asking.cancel()
        await eventually(lambda: bool(setup.bookings))
    metered = setup.only().metered
    assert metered.prompt_tokens == len(setup.backend.generations[0].prompt.token_ids) - BLOCKS
    assert (metered.cached_tokens, metered.documents) == (0, ())
    setup.check_sums()


async def test_an_answer_that_breaks_off_costs_nothing() -> None:
    setup = fleet_proxy()
    async with client_of(setup.proxy) as http:
        await publish(http)
        setup.backend.fail_next(Overloaded("the replica is gone"), after_words=2)
        text = await (await http.post(CHAT, json=handbook(stream=True))).text()
        assert '"error"' in text
        await asyncio.sleep(0)
    assert setup.bookings == [] and setup.charging.held == {}
