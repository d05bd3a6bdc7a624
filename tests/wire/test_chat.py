from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import ChatRequest, DocumentPart, DocumentRef, Message, Sampling, TextPart
from kvproxy.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from kvproxy.wire.chat import parse_chat


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_chat(body, served_name="m")


def parse_messages(*messages: Any) -> tuple[Message, ...]:
    return parse(messages=list(messages)).messages


def test_defaults_are_openais() -> None:
    assert parse() == ChatRequest("m", (Message("user", (TextPart("hi"),)),), Sampling())


def test_everything_that_is_honoured() -> None:
    request = parse(
        temperature=0,
        top_p=0.9,
        top_k=20,
        seed=-7,
        max_tokens=5,
        max_completion_tokens=9,
        stop=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
        chat_template_kwargs={"enable_thinking": False},
    )
    assert request.sampling == Sampling(
        temperature=0, top_p=0.9, top_k=20, seed=-7, max_tokens=9, stop=("a", "b")
    )
    assert request.stream and request.include_usage
    assert request.template_kwargs == {"enable_thinking": False}


def test_one_stop_string_and_nulls() -> None:
    assert parse(stop="end").sampling.stop == ("end",)
    nulls = dict.fromkeys(
        ("stop", "temperature", "top_p", "top_k", "seed", "max_tokens", "stream", "n", "tools")
    )
    assert parse(**nulls).sampling == Sampling()


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1},
        {"tools": []},
        {"tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"logprobs": False},
        {"logit_bias": {}},
        {"presence_penalty": 0.0, "frequency_penalty": 0},
        {"modalities": ["text"]},
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "prompt_cache_key": "k"},
        {"made_up": {"by": ["a", "client"]}},
    ],
)
def test_fields_that_ask_for_nothing_are_accepted(neutral: dict[str, Any]) -> None:
    assert parse(**neutral) == parse()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": [{}]}, "functions"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"min_p": 0.1}, "min_p"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}]},
            "messages[0].tool_calls",
        ),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert param in caught.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]}
                ]
            },
            "messages[0].content[1].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "kv_document", "document": "a b"}]}]},
            "messages[0].content[0].document",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "kv_document", "document": "a"}]}]},
            "messages[0].content[0].type",
        ),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
    ],
)
def test_faults_name_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert not isinstance(caught.value, UnsupportedParameter)
    assert caught.value.param == param
    assert param in caught.value.message


def test_a_fault_says_what_to_change_and_never_repeats_the_value() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(temperature=9)
    assert caught.value.message == "Invalid 'temperature': should be less than or equal to 2."
    with pytest.raises(InvalidRequest) as caught:
        parse(messages=[{"role": "user", "content": {"secret": "text"}}])
    assert "secret" not in caught.value.message


def test_missing_messages() -> None:
    with pytest.raises(InvalidRequest, match=r"Missing required parameter: 'messages'\."):
        parse_chat({"model": "m"}, served_name="m")


def test_developer_is_system_and_null_assistant_content_is_empty() -> None:
    assert parse_messages(
        {"role": "developer", "content": "be kind"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": []},
        {"role": "assistant", "content": None, "refusal": "no"},
    ) == (
        Message("system", (TextPart("be kind"),)),
        Message("assistant", (TextPart(""),)),
        Message("assistant", (TextPart("no"),)),
    )


def test_parts_stay_apart_and_cache_marks_are_accepted() -> None:
    parts = [
        {"type": "kv_document", "document": "law/hand.book@12"},
        {"type": "kv_document", "document": "handbook"},
        {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "text", "text": ""},
    ]
    (message,) = parse_messages({"role": "system", "content": parts})
    assert message.content == (
        DocumentPart(DocumentRef("law/hand.book", 12)),
        DocumentPart(DocumentRef("handbook")),
        TextPart("a"),
        TextPart(""),
    )


def test_another_model_is_not_served() -> None:
    with pytest.raises(ModelNotFound):
        parse(model="other")
