"""A session's own first lines neither cost the reuse of the rest, nor get lost where the model needs them."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import Caller, ChatRequest, DocumentPart, DocumentRef, LeftOut, Message, TextPart
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.plain_call import plain_call
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages
from kvproxy.wire.bodies.request_reading import LENIENT, ReadingPolicy, RequestReading
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.openings.volatile_openings import settle_openings
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.tokenize_bodies import tokenized_chat

STABLE = "You are an agent.\n\nDo what is asked, and nothing else."
HEADER = "x-anthropic-billing-header: cc_version=2.1.197.{}; cc_entrypoint=cli; cch={};"
DATED = ReadingPolicy(volatile_openings=("date", "time", "env", "session", "Build: *"))
IDS = ResponseIds("0" * 32)
ASK = {"role": "user", "content": "What?"}


def header(session: str) -> str:
    return HEADER.format(session, session)


def settled(*contents: str, policy: ReadingPolicy = LENIENT) -> tuple[list[list[str]], list[LeftOut]]:
    """Return the texts of the messages, a system message for each of ``contents``, and the left-out record."""
    messages = [Message("system", (TextPart(text),)) for text in contents]
    reading = RequestReading(policy)
    found = settle_openings(
        [*messages, Message("user", (TextPart("What?"),))],
        reading,
        lambda i, j: f"messages[{i}].content[{j}]",
    )
    return [[p.text for p in m.content if isinstance(p, TextPart)] for m in found[:-1]], reading.left_out


# --- the three doors, and those that only count


def anthropic(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in system]
    blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return parse_messages({"model": "m", "max_tokens": 9, "system": blocks, "messages": [ASK]}, policy)


def counted(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    blocks = [{"type": "text", "text": text} for text in system]
    return parse_count({"model": "m", "system": blocks, "messages": [ASK]}, policy)


def chat(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    messages = [{"role": "system", "content": [{"type": "text", "text": text} for text in system]}, ASK]
    return parse_chat({"model": "m", "messages": messages}, served_name="m", policy=policy)


def tokenized(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    messages = [{"role": "system", "content": [{"type": "text", "text": text} for text in system]}, ASK]
    return tokenized_chat({"messages": messages}, served_name="m", policy=policy)


def responses(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    content = [{"type": "input_text", "text": text} for text in system]
    body = parse_body({"model": "m", "input": [{"role": "developer", "content": content}, ASK]})
    reading = RequestReading(policy)
    items = normal_items(body.input or (), IDS, {}, reading)
    return to_chat(body, items, served_name="m", reading=reading)


def instructed(system: list[str], policy: ReadingPolicy) -> ChatRequest:
    body = parse_body({"model": "m", "instructions": "\n".join(system), "input": "What?"})
    reading = RequestReading(policy)
    items = normal_items(body.input or (), IDS, {}, reading)
    return to_chat(body, items, served_name="m", reading=reading)


DOORS = {
    anthropic: "system[0]",
    counted: "system[0]",
    chat: "messages[0].content[0]",
    tokenized: "messages[0].content[0]",
    responses: "input",
    instructed: "instructions",
}


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_two_sessions_have_one_prompt_and_a_record_of_the_left_out_line(door: Any) -> None:
    one, two = (door([header(session), STABLE], LENIENT) for session in ("84c", "500"))
    assert one.messages == two.messages == door([STABLE], LENIENT).messages
    assert one.left_out == (LeftOut(DOORS[door], "client metadata"),)
    assert door([STABLE], LENIENT).left_out == ()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_with_an_empty_list_everything_stays(door: Any) -> None:
    policy = ReadingPolicy(client_metadata=())
    request = door([header("84c"), STABLE], policy)
    assert header("84c") in str(request.messages[0]) and request.left_out == ()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_date_goes_behind_the_stable_text(door: Any) -> None:
    request = door(["Today's date is 2026-11-29.", STABLE], DATED)
    texts = [part.text for part in request.messages[0].content]
    assert texts == [STABLE, "Today's date is 2026-11-29."]
    assert request.left_out == (LeftOut(DOORS[door], "moved: date"),)
    unasked = door(["Today's date is 2026-11-29.", STABLE], LENIENT)
    assert str(unasked.messages[0]).index("2026") < str(unasked.messages[0]).index("You are")


def test_a_system_string_is_read_as_its_blocks_are() -> None:
    """As gateways send it that put the blocks together."""
    for text in (
        f"{header('84c')}\n{STABLE}",
        f"{header('84c')}\r\n\r\n{STABLE}",
        f"\n{header('84c')}\n\n{STABLE}",
    ):
        body = {"model": "m", "max_tokens": 9, "system": text, "messages": [ASK]}
        request = parse_messages(body)
        assert request.messages[0].content == (TextPart(STABLE),)
        assert request.left_out == (LeftOut("system[0]", "client metadata"),)


# --- what is taken, and what not


def test_a_message_of_nothing_else_goes() -> None:
    assert settled(header("84c"), STABLE)[0] == [[STABLE]]
    assert settled(header("84c"))[0] == []


def test_the_white_space_of_the_rest_stays() -> None:
    assert settled(f"{header('1')}\n  {STABLE} \n")[0] == [[f"  {STABLE} \n"]]
    assert settled(f"\n {STABLE}")[0] == [[f"\n {STABLE}"]]


def test_only_the_head_is_looked_at() -> None:
    text = f"{STABLE}\n{header('1')}\nToday's date is 2026-11-29."
    assert settled(text, header("1"), policy=DATED) == ([[text], [header("1")]], [])
    reading = RequestReading()
    asked = (Message("user", (TextPart(header("1")),)),)
    assert settle_openings(asked, reading, lambda i, j: "x") == asked and reading.left_out == []


def test_nothing_is_taken_from_behind_a_document() -> None:
    reading = RequestReading(DATED)
    content = (TextPart(header("1")), DocumentPart(DocumentRef("d")), TextPart("Today's date is 2026-11-29."))
    found = settle_openings((Message("system", content),), reading, lambda i, j: f"system[{j}]")
    assert found == (Message("system", content[1:]),)


def test_several_lines_move_in_their_order() -> None:
    text = f"Session ID: 17\n\nToday's date is 2026-11-29.\nCurrent time: 10:15\nBuild: 5\n\n{STABLE}"
    texts, told = settled(header("1"), text, "More.", policy=DATED)
    moved = "Session ID: 17\nToday's date is 2026-11-29.\nCurrent time: 10:15\nBuild: 5"
    assert texts == [[STABLE], ["More.", moved]]
    assert told == [
        LeftOut("messages[0].content[0]", "client metadata"),
        LeftOut("messages[1].content[0]", "moved: session"),
        LeftOut("messages[1].content[0]", "moved: date"),
        LeftOut("messages[1].content[0]", "moved: time"),
        LeftOut("messages[1].content[0]", "moved: own pattern"),
    ]


def test_a_block_moves_whole() -> None:
    block = "<env>\n  Working directory: /a\n  Today's date: 2026-11-29\n</env>"
    assert settled(f"{block}\n{STABLE}", policy=DATED) == (
        [[STABLE, block]],
        [LeftOut("messages[0].content[0]", "moved: env")],
    )


def test_where_nothing_would_be_left_the_line_stays() -> None:
    assert settled("Today's date is 2026-11-29.", policy=DATED)[0] == [["Today's date is 2026-11-29."]]
    reading = RequestReading()
    alone = (Message("system", (TextPart(header("1")),)),)
    assert settle_openings(alone, reading, lambda i, j: "x") == alone and reading.left_out == []


def test_marks_stay_on_the_rest() -> None:
    request = anthropic([header("1"), "Today's date is 2026-11-29.\n" + STABLE], DATED)
    assert [(p.text, p.mark) for p in request.messages[0].content if isinstance(p, TextPart)] == [
        (STABLE, True),
        ("Today's date is 2026-11-29.", False),
    ]


def test_another_model_in_its_place_is_sent_the_same() -> None:
    one, two = (chat([header(session), STABLE], LENIENT) for session in ("84c", "500"))
    calls = [plain_call(request, Library(), Caller("a", "tenant:a")) for request in (one, two)]
    assert calls[0] == calls[1] and calls[0]["messages"][0] == {"role": "system", "content": STABLE}


def test_many_lines_cost_their_length() -> None:
    text = "x-anthropic-billing-header: a\n" * 100_000 + STABLE
    texts, told = settled(text)
    assert texts == [[STABLE]] and len(told) == 1
