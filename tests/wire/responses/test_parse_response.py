from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response as Published

from kvproxy.core import CacheHints, ChatRequest, JsonFormat, Tool, ToolChoice
from kvproxy.errors import InvalidRequest, KVProxyError, ModelNotFound, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import open_response, to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.types import Response

IDS = ResponseIds("a" * 32)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FIND = {"type": "function", "name": "find", "parameters": PARAMETERS}
OTHER = {"type": "function", "name": "other", "parameters": PARAMETERS, "strict": False}


def chat_of(**fields: Any) -> ChatRequest:
    body = parse_body({"model": "m", "input": "x", **fields})
    reading = RequestReading()
    return to_chat(body, normal_items(body.input or (), IDS, {}, reading), served_name="m", reading=reading)


def opened_by(**fields: Any) -> Response:
    body = parse_body({"model": "m", "input": "x", **fields})
    response = open_response(body, chat_of(**fields), IDS, created=1_700_000_000)
    Published.model_validate(response, strict=True)
    return response


def test_the_plainest_request() -> None:
    chat = chat_of()
    assert (chat.stream, chat.tools, chat.response_format, chat.cache) == (False, (), None, CacheHints())
    assert chat.sampling.max_tokens is None and chat.sampling.logprobs is None


def test_sampling() -> None:
    sampling = chat_of(temperature=0, top_p=0.5, top_k=3, max_output_tokens=7, seed=5).sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.0, 0.5, 3)
    assert (sampling.max_tokens, sampling.seed) == (7, 5)


@pytest.mark.parametrize(
    ("fields", "logprobs"),
    [
        ({}, None),
        ({"include": ["reasoning.encrypted_content"]}, None),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"top_logprobs": 3}, 3),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 2}, 2),
    ],
)
def test_logprobs(fields: dict[str, Any], logprobs: int | None) -> None:
    assert chat_of(**fields).sampling.logprobs == logprobs


@pytest.mark.parametrize(
    ("effort", "thinks"), [("none", False), ("minimal", False), ("low", True), ("max", True)]
)
def test_effort_turns_thinking_on_and_off(effort: str, thinks: bool) -> None:
    assert chat_of(reasoning={"effort": effort}).template_kwargs == {
        "enable_thinking": thinks,
        "reasoning_effort": effort,
    }


def test_the_clients_own_variables_win() -> None:
    chat = chat_of(reasoning={"effort": "high"}, chat_template_kwargs={"enable_thinking": False})
    assert chat.template_kwargs["enable_thinking"] is False


def test_tools_are_strict_by_default_where_they_can_be() -> None:
    loose = {"type": "function", "name": "loose", "parameters": {**PARAMETERS, "if": {}, "then": {}}}
    bare = {"type": "function", "name": "bare"}
    tools = chat_of(tools=[FIND, OTHER, loose, bare]).tools
    assert tools[0] == Tool("find", None, PARAMETERS, strict=True, assumed=True)
    [asked] = chat_of(tools=[{**FIND, "strict": True}]).tools
    assert asked.strict and not asked.assumed
    assert [tool.strict for tool in tools] == [True, False, False, False]


@pytest.mark.parametrize(
    ("choice", "meant", "echo"),
    [
        (None, ToolChoice(), "auto"),
        ("none", ToolChoice("none"), "none"),
        ("auto", ToolChoice("auto"), "auto"),
        ("required", ToolChoice("required"), "required"),
        ({"type": "function", "name": "find"}, ToolChoice("required", ("find",)), None),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "other"}]},
         ToolChoice("auto", ("other",)), None),
    ],
)  # fmt: skip
def test_tool_choice(choice: Any, meant: ToolChoice, echo: str | None) -> None:
    fields = {"tools": [FIND, OTHER], "tool_choice": choice}
    assert chat_of(**fields).tool_choice == meant
    assert opened_by(**fields)["tool_choice"] == (echo or choice)


def test_json_formats() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    format = {"type": "json_schema", "name": "out", "schema": schema, "strict": True}
    assert chat_of(text={"format": {"type": "text"}}).response_format is None
    assert chat_of(text={"format": {"type": "json_object"}}).response_format == JsonFormat()
    assert chat_of(text={"format": format}).response_format == JsonFormat(schema)
    assert opened_by(text={"format": format, "verbosity": "low"})["text"] == {
        "format": format,
        "verbosity": "low",
    }


def test_cache_hints() -> None:
    fields = {"prompt_cache_key": "k", "cache_salt": "s", "prompt_cache_options": {"mode": "explicit"}}
    assert chat_of(**fields).cache == CacheHints("k", "s", explicit=True)
    assert opened_by(**fields)["prompt_cache_options"] == {"mode": "explicit", "ttl": "30m"}


def test_the_opened_response_repeats_the_requests_fields() -> None:
    response = opened_by(
        instructions="Be brief.",
        metadata={"a": "b"},
        user="u",
        safety_identifier="s",
        service_tier="auto",
        truncation="auto",
        max_output_tokens=5,
        max_tool_calls=2,
        parallel_tool_calls=False,
        previous_response_id="resp_before",
        reasoning={"effort": "low", "summary": "auto"},
        store=False,
        temperature=0.5,
        tools=[FIND],
        top_logprobs=1,
        top_p=0.25,
        stream_options={"include_obfuscation": False},
        prompt_cache_retention="24h",
        something_new={"x": 1},
    )
    assert response["id"] == "resp_" + "a" * 32
    assert response["status"] == "in_progress" and "usage" not in response
    assert response["reasoning"] == {"effort": "low", "summary": "auto"}
    assert response["tools"] == [{**FIND, "description": None, "strict": True}]
    told = {
        "instructions": "Be brief.", "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s",
        "truncation": "auto", "max_output_tokens": 5, "max_tool_calls": 2, "parallel_tool_calls": False,
        "previous_response_id": "resp_before", "store": False, "temperature": 0.5, "top_p": 0.25,
        "top_logprobs": 1, "created_at": 1_700_000_000, "prompt_cache_retention": "24h",
    }  # fmt: skip
    assert {name: value for name, value in response.items() if name in told} == told


@pytest.mark.parametrize(
    ("fields", "param", "kind"),
    [
        ({"input": None}, "input", InvalidRequest),
        ({"model": "other"}, "model", ModelNotFound),
        ({"background": True}, "background", UnsupportedParameter),
        ({"conversation": "conv_1"}, "conversation", UnsupportedParameter),
        ({"conversation": {"id": "conv_1"}}, "conversation", UnsupportedParameter),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", UnsupportedParameter),
        ({"n": 2}, "n", UnsupportedParameter),
        ({"tools": [{"type": "function"}]}, "tools[0].name", InvalidRequest),
        ({"tools": [FIND, {**FIND, "description": "another"}]}, "tools", InvalidRequest),
        ({"tools": [{"type": "namespace", "tools": [FIND]}]}, "tools[0].name", InvalidRequest),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{}]}]}, "tools[0].tools[0].name", InvalidRequest),
        ({"tool_choice": "required"}, "tool_choice", InvalidRequest),
        ({"tools": [FIND], "tool_choice": {"type": "function", "name": "no"}}, "tool_choice", InvalidRequest),
        ({"tools": [FIND], "tool_choice": {"type": "function"}}, "tool_choice.name", InvalidRequest),
        ({"tools": [FIND], "tool_choice": {"type": "mcp"}}, "tool_choice.type", UnsupportedParameter),
        ({"tools": [FIND], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.tools", InvalidRequest),
        ({"tools": [FIND], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
         "tool_choice", InvalidRequest),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", InvalidRequest),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", InvalidRequest),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", InvalidRequest),
        ({"max_output_tokens": 0}, "max_output_tokens", InvalidRequest),
        ({"top_logprobs": 21}, "top_logprobs", InvalidRequest),
        ({"temperature": 3}, "temperature", InvalidRequest),
        ({"chat_template_kwargs": {"tools": []}}, "chat_template_kwargs.tools", InvalidRequest),
    ],
)  # fmt: skip
def test_faults_name_the_field(fields: dict[str, Any], param: str, kind: type[KVProxyError]) -> None:
    with pytest.raises(kind) as caught:
        chat_of(**fields)
    assert caught.value.param == param
