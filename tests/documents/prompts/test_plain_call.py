from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvproxy.core import (
    ChatRequest,
    DocumentPart,
    DocumentRef,
    JsonFormat,
    Message,
    TextPart,
    TextRequest,
    ToolCall,
    ToolChoice,
)
from kvproxy.core.answer_format import (
    AnswerFormat,
    ChoiceFormat,
    GrammarFormat,
    RegexFormat,
    TaggedJson,
    TagsFormat,
)
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import DocumentNotFound
from tests.documents.conversation import APACHE, BOB, LOOKUP, NOW, REF, build, message, publish, result

LOOKUP_BODY = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find a word.",
        "parameters": LOOKUP.parameters,
        "strict": True,
    },
}
NOW_BODY = {"type": "function", "function": {"name": "now"}}


@pytest.fixture(scope="module")
def composer(qwen3: Path) -> Composer:
    composer = build(qwen3, Tokenizer.load(qwen3))
    publish(composer, "apache", APACHE)
    return composer


def test_messages_with_calls_and_documents(composer: Composer) -> None:
    call = ToolCall("call_1", "lookup", '{"word":"x"}')
    messages = (
        Message("system", (DocumentPart(REF), TextPart("Be brief.", mark=True))),
        message("assistant", "", call, reasoning="hm"),
        result("call_1", "y"),
        message(
            "assistant",
            "",
        ),
    )
    assert composer.plain_call(ChatRequest("m", messages), BOB) == {
        "messages": [
            {"role": "system", "content": f"{APACHE}\nBe brief."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "lookup", "arguments": '{"word":"x"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "y"},
            {"role": "assistant", "content": ""},
        ]
    }
    unknown = (Message("user", (DocumentPart(DocumentRef("unknown")),)),)
    with pytest.raises(DocumentNotFound):
        composer.plain_call(ChatRequest("m", unknown), BOB)


@pytest.mark.parametrize(
    ("choice", "tools", "expected"),
    [
        (ToolChoice(), [NOW_BODY, LOOKUP_BODY], "auto"),
        (ToolChoice("none"), [NOW_BODY, LOOKUP_BODY], "none"),
        (ToolChoice("required"), [NOW_BODY, LOOKUP_BODY], "required"),
        (
            ToolChoice("required", ("lookup",)),
            [NOW_BODY, LOOKUP_BODY],
            {"type": "function", "function": {"name": "lookup"}},
        ),
        (ToolChoice("auto", ("lookup",)), [LOOKUP_BODY], "auto"),
        (ToolChoice("required", ("lookup", "now")), [NOW_BODY, LOOKUP_BODY], "required"),
    ],
)
def test_tools(composer: Composer, choice: ToolChoice, tools: list[object], expected: object) -> None:
    request = ChatRequest("m", (message("user", "Q"),), tools=(NOW, LOOKUP), tool_choice=choice)
    call = composer.plain_call(request, BOB)
    del call["messages"]
    assert call == {"tools": tools, "tool_choice": expected}


def test_strict_goes_along_where_the_client_said_it(composer: Composer) -> None:
    assumed = replace(LOOKUP, assumed=True)
    call = composer.plain_call(ChatRequest("m", (message("user", "Q"),), tools=(assumed,)), BOB)
    assert "strict" not in call["tools"][0]["function"]


def test_one_call_at_a_time_goes_with_tools_alone(composer: Composer) -> None:
    user = (message("user", "Q"),)
    alone = composer.plain_call(ChatRequest("m", user, parallel_tool_calls=False), BOB)
    assert alone.keys() == {"messages"}
    tools = composer.plain_call(ChatRequest("m", user, parallel_tool_calls=False, tools=(NOW,)), BOB)
    assert tools["parallel_tool_calls"] is False


def test_response_formats(composer: Composer) -> None:
    def asked(wanted: AnswerFormat) -> dict[str, Any]:
        request = ChatRequest("m", (message("user", "Q"),), response_format=wanted)
        call = composer.plain_call(request, BOB)
        text = composer.plain_call(TextRequest("m", "Q", response_format=wanted), BOB)
        assert call.pop("messages") and text.pop("messages") and text == call
        return call

    schema = {"type": "object"}
    assert asked(JsonFormat()) == {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": schema}
    assert asked(JsonFormat(schema, strict=False)) == {
        "response_format": {"type": "json_schema", "json_schema": named}
    }
    assert asked(JsonFormat(schema)) == {
        "response_format": {"type": "json_schema", "json_schema": {**named, "strict": True}}
    }
    assert asked(RegexFormat("a+")) == {"structured_outputs": {"regex": "a+"}}
    assert asked(ChoiceFormat(("a", "b"))) == {"structured_outputs": {"choice": ["a", "b"]}}
    assert asked(GrammarFormat("root ::= x", "gbnf")) == {"structured_outputs": {"grammar": "root ::= x"}}
    tags = asked(TagsFormat((TaggedJson("<a>", schema, "</a>"),), ("<a",)))
    assert json.loads(tags["structured_outputs"]["structural_tag"])["triggers"] == ["<a"]


def test_a_text_prompt_becomes_a_users_message(composer: Composer) -> None:
    said = composer.plain_call(TextRequest("m", "Once upon"), BOB)
    assert said == {"messages": [{"role": "user", "content": "Once upon"}]}
    ids = tuple(composer.encode_prompt("Once upon", add_special_tokens=False))
    assert composer.plain_call(TextRequest("m", ids), BOB) == said
