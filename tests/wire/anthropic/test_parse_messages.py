from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import (
    DocumentPart,
    DocumentRef,
    JsonFormat,
    Message,
    Sampling,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages, thinking_shown, warms_only
from kvproxy.wire.bodies.request_reading import ReadingPolicy

MARK = {"type": "ephemeral", "ttl": "1h"}
TOOLS: list[dict[str, Any]] = [
    {"name": "weather", "description": "d", "input_schema": {"type": "object", "properties": {"city": {}}}},
    {
        "name": "time",
        "input_schema": {"type": "object"},
        "strict": True,
        "type": "custom",
        "cache_control": MARK,
    },
]
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Zürich", "n": 1.5}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}


def body(*content: Any, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": list(content) if content else "hi"}]
    return {"model": "fake", "max_tokens": 9, "messages": messages, **fields}


def turns(*messages: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {**body(**fields), "messages": [{"role": r, "content": c} for r, c in messages]}


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def test_a_plain_request() -> None:
    chat = parse_messages(
        body(
            temperature=0.5,
            top_p=0.9,
            top_k=3,
            stop_sequences=["a", "b"],
            stream=True,
            metadata={"user_id": "u"},
        )
    )
    assert chat.messages == (Message("user", (TextPart("hi"),)),)
    assert chat.sampling == Sampling(0.5, 0.9, 3, max_tokens=9, stop=("a", "b"))
    assert chat.stream and chat.tools == () and chat.parallel_tool_calls and chat.response_format is None
    assert chat.template_kwargs == {"enable_thinking": False}


def test_system_blocks_documents_and_marks() -> None:
    chat = parse_messages(
        body(
            text("why?", cache_control=MARK),
            system=[
                {"type": "kv_document", "document": "handbook@3", "cache_control": MARK},
                text("be kind"),
            ],
        )
    )
    document = DocumentPart(DocumentRef("handbook", 3), mark=True)
    assert chat.messages == (
        Message("system", (document, TextPart("be kind"))),
        Message("user", (TextPart("why?", mark=True),)),
    )


def test_a_mark_on_the_whole_request_is_one_on_its_last_block() -> None:
    chat = parse_messages(body(text("a"), text("b"), cache_control=MARK, system="s"))
    marks = [part.mark for message in chat.messages for part in message.content]
    assert marks == [False, False, True]


def test_documents_and_search_results_are_text() -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "the text"}
    chat = parse_messages(
        body(
            {"type": "document", "source": plain, "title": "T", "cache_control": MARK},
            {"type": "document", "source": {"type": "content", "content": [text("x"), text("y")]}},
            {
                "type": "document",
                "source": {"type": "content", "content": "z"},
                "citations": {"enabled": False},
            },
            {"type": "search_result", "source": "s", "title": "t", "content": [text("found")]},
        )
    )
    assert chat.messages[0].content == (
        TextPart("the text"),
        TextPart("(The document above is titled: T)", mark=True),
        TextPart("x"),
        TextPart("y"),
        TextPart("z"),
        TextPart("t (s)"),
        TextPart("found"),
    )


def test_a_tool_turn_and_the_way_back_of_its_ids() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "x"}
    chat = parse_messages(
        turns(
            ("user", "weather?"),
            ("assistant", [thinking, {"type": "redacted_thinking", "data": "?"}, text("Let me see."), USE]),
            ("user", [text("and?"), {**RESULT, "is_error": True, "cache_control": MARK}]),
            tools=TOOLS,
        )
    )
    call = ToolCall("call_1", "weather", '{"city": "Zürich", "n": 1.5}')
    assert chat.messages[1:] == (
        Message("assistant", (TextPart("Let me see."),), tool_calls=(call,), reasoning="hm"),
        Message("tool", (TextPart("Error:"), TextPart("rain", mark=True)), tool_call_id="call_1"),
        Message("user", (TextPart("and?"),)),
    )
    assert chat.tools == (
        Tool("weather", "d", {"type": "object", "properties": {"city": {}}}),
        Tool("time", None, {"type": "object"}, strict=True),
    )


def test_several_results_and_empty_ones() -> None:
    second = {**USE, "id": "custom"}
    chat = parse_messages(
        turns(
            ("user", "x"),
            ("assistant", [USE, second]),
            ("user", [{"type": "tool_result", "tool_use_id": "custom"}, {**RESULT, "content": [text("a")]}]),
        )
    )
    assert [(m.role, m.tool_call_id, m.content) for m in chat.messages[2:]] == [
        ("tool", "custom", (TextPart(""),)),
        ("tool", "call_1", (TextPart("a"),)),
    ]


def test_an_empty_answer_comes_back_and_system_messages_may_stand_between() -> None:
    chat = parse_messages(turns(("user", "x"), ("assistant", []), ("system", "now"), ("user", "y")))
    assert [m.role for m in chat.messages] == ["user", "assistant", "system", "user"]
    assert chat.messages[1].content == (TextPart(""),)


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ToolChoice(), False),
        ({"type": "any", "disable_parallel_tool_use": False}, ToolChoice("required"), True),
        ({"type": "tool", "name": "time"}, ToolChoice("required", ("time",)), True),
        ({"type": "none"}, ToolChoice("none"), True),
    ],
)
def test_tool_choices(choice: dict[str, Any], expected: ToolChoice, parallel: bool) -> None:
    chat = parse_messages(body(tools=TOOLS, tool_choice=choice))
    assert chat.tool_choice == expected and chat.parallel_tool_calls is parallel


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"enable_thinking": True}),
        ({"thinking": {"type": "adaptive"}}, {"enable_thinking": True}),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        ({"output_config": {"effort": "max"}}, {"enable_thinking": False, "reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}}, {"enable_thinking": False, "reasoning_effort": "low"}),
    ],
)
def test_thinking_reaches_the_template(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parse_messages(body(**fields)).template_kwargs == expected


def test_thinking_can_be_hidden() -> None:
    assert thinking_shown(body(thinking={"type": "adaptive"})) and thinking_shown(body())
    assert not thinking_shown(body(thinking={"type": "adaptive", "display": "omitted"}))


@pytest.mark.parametrize("place", ["output_config", "output_format"])
def test_structured_output(place: str) -> None:
    format = {"type": "json_schema", "schema": {"type": "object"}}
    chat = parse_messages(body(**{place: {"format": format} if place == "output_config" else format}))
    assert chat.response_format == JsonFormat({"type": "object"})


def test_a_prompt_may_be_kept_without_an_answer() -> None:
    asked = body(text("hi", cache_control=MARK), max_tokens=0, tools=TOOLS, thinking={"type": "disabled"})
    assert parse_messages(asked).sampling.max_tokens == 1
    assert warms_only(asked) and not warms_only(body())


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": True}, "stream"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"tools": TOOLS, "tool_choice": {"type": "any"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "output_config.format"),
        ({"output_format": {"type": "json_schema", "schema": {}}}, "output_format"),
    ],
)
def test_a_field_that_shapes_the_answer_is_refused_without_one(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as e:
        parse_messages(body(max_tokens=0, **fields))
    assert e.value.param == param


def test_counting_needs_no_max_tokens() -> None:
    counted = body(tools=TOOLS)
    del counted["max_tokens"]
    assert parse_count(counted).tools == parse_messages(body(tools=TOOLS)).tools
    with pytest.raises(InvalidRequest) as e:
        parse_messages(counted)
    assert e.value.param == "max_tokens"


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "x"}}
TEXT_DOCUMENT = {"type": "document", "source": {"type": "text", "data": "x"}}


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (body(max_tokens=-1), "max_tokens"),
        (body(temperature=1.5), "temperature"),
        (body(messages=[]), "messages"),
        (body(text("a"), {"type": "text"}), "messages[0].content[1].text"),
        (body(text("a"), {"text": "x"}), "messages[0].content[1].type"),
        (body({"type": "kv_document", "document": "@"}), "messages[0].content[0].document"),
        (turns(("robot", "x")), "messages[0].role"),
        (body(USE), "messages[0].content[0].type"),
        (body(tools=[TOOLS[0], {**TOOLS[0], "description": "another"}]), "tools"),
        (body(tools=[{"name": "a b", "input_schema": {}}]), "tools[0].name"),
        (body(tools=[{"name": "a", "input_schema": [], "strict": True}]), "tools[0].input_schema"),
        (
            body(tools=[{"name": "a", "input_schema": {"type": "array"}, "strict": True}]),
            "tools[0].input_schema",
        ),
        (body(tool_choice={"type": "any"}), "tool_choice"),
        (body(tools=TOOLS, tool_choice={"type": "tool"}), "tool_choice.name"),
        (body(tools=TOOLS, tool_choice={"type": "tool", "name": "no"}), "tool_choice.name"),
        (body(output_format={"type": "json_schema"}), "output_format.schema"),
        (body(system=[USE]), "system[0].type"),
    ],
)
def test_a_wrong_field_is_named(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as e:
        parse_messages(asked)
    assert e.value.param == param and f"'{param}'" in e.value.message


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (body(IMAGE), "messages[0].content[0].type"),
        (body(PDF), "messages[0].content[0].source"),
        (body({**TEXT_DOCUMENT, "citations": {"enabled": True}}), "messages[0].content[0].citations"),
        (
            body({"type": "document", "source": {"type": "content", "content": [IMAGE]}}),
            "messages[0].content[0].source.content[0].type",
        ),
        (body({"type": "server_tool_use", "id": "1"}), "messages[0].content[0].type"),
        (turns(("user", "x"), ("assistant", "The answer is")), "messages[1].role"),
        (body(compaction={"type": "summarize"}), "compaction"),
        (body(thread={"type": "create"}), "thread"),
    ],
)
def test_a_value_that_would_change_the_answer_is_refused_by_name(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as e:
        parse_messages(asked)
    assert e.value.param == param and f"'{param}'" in e.value.message


def test_values_that_ask_for_nothing_pass() -> None:
    parse_messages(
        body(container=None, mcp_servers=[], context_management={"edits": []}, thread=None, tools=[])
    )


def test_messages_of_one_role_behind_each_other_are_one_turn() -> None:
    second = {**USE, "id": "toolu_2"}
    answer = {**RESULT, "tool_use_id": "toolu_2"}
    parsed = parse_messages(
        turns(
            ("user", "x"),
            ("assistant", [USE]),
            ("assistant", [second]),
            ("user", [answer]),
            ("user", [RESULT]),
        )
    )
    assert [m.tool_call_id for m in parsed.messages if m.role == "tool"] == ["call_2", "call_1"]


def test_a_pdf_beside_a_tools_result_is_history() -> None:
    """A tool of the program has read a PDF and sends it along."""
    reading_back = ("user", [{**RESULT, "content": [IMAGE]}, PDF])
    asked = turns(("user", "x"), ("assistant", [USE]), reading_back)
    chat = parse_messages(asked)
    assert [(m.role, m.content) for m in chat.messages[2:]] == [
        ("tool", (TextPart("[image omitted: this model reads text only]"),)),
        ("user", (TextPart("[file omitted: this model reads text only]"),)),
    ]
    assert [(left.param, left.what) for left in chat.left_out] == [
        ("messages[2].content[0].content[0]", "image"),
        ("messages[2].content[1]", "file"),
    ]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (
            turns(("user", "x"), ("assistant", [USE]), ("user", [{**RESULT, "content": [IMAGE]}])),
            "messages[2].content[0].content[0].type",
        ),
        (turns(("user", "x"), ("assistant", [TEXT_DOCUMENT]), ("user", "y")), "messages[1].content[0].type"),
        (
            turns(("user", [{"type": "thing"}]), ("assistant", "y"), ("user", "z")),
            "messages[0].content[0].type",
        ),
        (body(RESULT), "messages[0].content[0]"),
    ],
)
def test_history_is_refused_where_the_policy_says_so(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as e:
        parse_messages(asked, ReadingPolicy(unreadable_history="refuse"))
    assert e.value.param == param and f"'{param}'" in e.value.message


def test_citations_of_history_are_left_out() -> None:
    found = {
        "type": "search_result",
        "source": "s",
        "title": "t",
        "content": [text("f")],
        "citations": {"enabled": True},
    }
    chat = parse_messages(
        turns(("user", "x"), ("assistant", [USE]), ("user", [{**RESULT, "content": [found]}]))
    )
    assert chat.messages[2].content == (TextPart("t (s)"), TextPart("f"))
    assert [left.param for left in chat.left_out] == ["messages[2].content[0].content[0].citations"]
