from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import (
    CacheHints,
    ChatRequest,
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
from kvproxy.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from kvproxy.wire.chat.parse_chat import parse_chat


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
        {"tool_choice": "auto", "parallel_tool_calls": True},
        {"response_format": {"type": "text"}},
        {"logprobs": False, "top_logprobs": 0},
        {"logit_bias": {}},
        {"presence_penalty": 0.0, "frequency_penalty": 0, "repetition_penalty": 1, "min_p": 0, "top_k": -1},
        {"modalities": ["text"], "audio": None},
        {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "verbosity": "low"},
        {"prediction": None, "prompt_cache_retention": "in_memory"},
        {"prompt_cache_options": {"mode": "implicit"}},
        {"made_up": {"by": ["a", "client"]}},
    ],
)
def test_fields_that_ask_for_nothing_are_accepted(neutral: dict[str, Any]) -> None:
    assert parse(**neutral) == parse()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"bad_words": ["x"]}, "bad_words"),
        ({"best_of": 2}, "best_of"),
        ({"continue_final_message": True}, "continue_final_message"),
    ],
)
def test_a_value_that_would_change_the_answer_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
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
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]}
                ]
            },
            "messages[0].content[1]",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "refusal"}]}]}, "messages[0].content[0].type"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": True}, "n"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}},
            "response_format.json_schema.schema",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name",
        ),
        ({"prediction": "x"}, "prediction"),
        ({"prediction": {"content": "x"}}, "prediction.type"),
        ({"prediction": {"type": "text", "content": "x"}}, "prediction.type"),
        ({"prediction": {"type": "content"}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": None}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": ["x"]}}, "prediction.content[0]"),
        ({"prediction": {"type": "content", "content": [{"type": "text"}]}}, "prediction.content[0].text"),
        (
            {"prediction": {"type": "content", "content": [{"type": "image_url", "text": "x"}]}},
            "prediction.content[0].type",
        ),
        ({"prompt_cache_options": {"mode": "never"}}, "prompt_cache_options.mode"),
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
        ({"top_k": -2}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": 5}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
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


def test_an_error_names_the_change_to_make_and_never_repeats_the_value() -> None:
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
        TextPart("a", mark=True),
        TextPart(""),
    )


def test_every_mark_of_a_prefixs_end() -> None:
    ephemeral = {"type": "ephemeral", "ttl": "5m"}
    one, two = parse_messages(
        {"role": "system", "content": "rules", "cache_control": ephemeral},
        {"role": "user", "content": [{"type": "kv_document", "document": "d", "cache_control": ephemeral}]},
    )
    assert one.content == (TextPart("rules", mark=True),)
    assert two.content == (DocumentPart(DocumentRef("d"), mark=True),)
    hints = parse(prompt_cache_key="k", prompt_cache_options={"mode": "explicit"}).cache
    assert hints == CacheHints("k", explicit=True)


def test_sampling_beyond_openais() -> None:
    request = parse(
        n=3,
        min_p=0.05,
        presence_penalty=-2,
        frequency_penalty=1.5,
        repetition_penalty=1.1,
        logit_bias={"7": -100, "3": 5},
        min_tokens=2,
        max_tokens=4,
        ignore_eos=True,
        stop_token_ids=[9, 8],
        logprobs=True,
        top_logprobs=5,
    )
    assert request.n == 3
    assert request.sampling == Sampling(
        min_p=0.05,
        presence_penalty=-2.0,
        frequency_penalty=1.5,
        repetition_penalty=1.1,
        logit_bias=((3, 5.0), (7, -100.0)),
        max_tokens=4,
        min_tokens=2,
        ignore_eos=True,
        stop_token_ids=(9, 8),
        logprobs=5,
    )
    assert parse(logprobs=True).sampling.logprobs == 0


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({"reasoning_effort": "none"}, {"enable_thinking": False, "reasoning_effort": "none"}),
        ({"reasoning_effort": "minimal"}, {"enable_thinking": False, "reasoning_effort": "minimal"}),
        ({"reasoning_effort": "high"}, {"enable_thinking": True, "reasoning_effort": "high"}),
        (
            {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": False}},
            {"enable_thinking": False, "reasoning_effort": "high"},
        ),
        ({}, {}),
    ],
)
def test_reasoning_effort_is_the_templates(fields: dict[str, Any], variables: dict[str, Any]) -> None:
    assert parse(**fields).template_kwargs == variables


def test_response_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    named = {"name": "answer", "schema": schema, "strict": True}
    assert parse(response_format={"type": "json_object"}).response_format == JsonFormat()
    asked = parse(response_format={"type": "json_schema", "json_schema": named})
    assert asked.response_format == JsonFormat(schema)


def test_history_with_calls_results_and_thoughts() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"b":1,"a":2}'}}
    assert parse_messages(
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
        {"role": "assistant", "content": "It is.", "reasoning": "so"},
    ) == (
        Message("assistant", (), (ToolCall("call_1", "f", '{"b":1,"a":2}'),), reasoning="hm"),
        Message("tool", (TextPart("sunny"),), tool_call_id="call_1"),
        Message("assistant", (TextPart("It is."),), reasoning="so"),
    )


def test_deprecated_functions_are_tools() -> None:
    request = parse(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
    )
    assert request.tools == (Tool("f", parameters={"type": "object"}),)
    assert request.tool_choice == ToolChoice("required", ("f",))
    assert request.messages[1].tool_calls[0].id == request.messages[2].tool_call_id
    assert parse(functions=[{"name": "f"}], function_call="none").tool_choice == ToolChoice("none")
    assert not parse(functions=[{"name": "f"}]).parallel_tool_calls  # its answer has room for one


def test_another_model_is_not_served() -> None:
    with pytest.raises(ModelNotFound):
        parse(model="other")


def test_a_prediction() -> None:
    assert parse().prediction is None
    assert parse(prediction={"type": "content", "content": "So it is."}).prediction == "So it is."
