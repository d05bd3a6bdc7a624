"""Tools in all shapes of the Responses API: as the model gets them, are repeated, and are chosen."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response as Published

from kvproxy.core import LeftOut, Tool, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import ReadingPolicy, RequestReading
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from tests.wire.responses.test_parse_response import IDS, chat_of, opened_by

PLAIN = {"type": "function", "name": "plain", "strict": False}
MCP: dict[str, Any] = {
    "type": "namespace",
    "name": "mcp__demo",
    "description": "A demo server.",
    "tools": [
        {"type": "function", "name": "look_up", "description": "Looks up.", "strict": False},
        {"type": "function", "name": "find.all", "parameters": None, "strict": False},
        {"type": "custom", "name": "raw"},
    ],
}


def names(tools: list[Any]) -> list[str]:
    return [tool.name for tool in chat_of(tools=tools).tools]


def test_a_namespaces_functions_are_known_by_both_names() -> None:
    tools = chat_of(tools=[PLAIN, MCP]).tools
    assert [tool.name for tool in tools] == [
        "plain", "mcp__demo__look_up", "mcp__demo__find.all", "mcp__demo__raw",
    ]  # fmt: skip
    assert tools[1] == Tool("mcp__demo__look_up", "Looks up.", namespace="mcp__demo", bare_name="look_up")
    assert tools[2].description == "A demo server."  # the first by name, as the model is told of them
    assert tools[3].form == "custom"


def test_a_name_does_not_depend_on_other_tools() -> None:
    other = {"type": "namespace", "name": "other", "tools": [{"type": "function", "name": "look_up"}]}
    assert names([MCP])[0] == names([PLAIN, MCP, other])[1] == "mcp__demo__look_up"
    taken = {"type": "function", "name": "mcp__demo__look_up", "strict": False}
    assert names([MCP, taken])[0] == names([taken, MCP])[1] == "mcp__demo__look_up_2"
    halves = [
        {"type": "namespace", "name": "a__b", "tools": [{"type": "function", "name": "c"}]},
        {"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b__c"}]},
    ]
    assert names(halves) == ["a__b__c", "a__b__c_2"]
    assert names([MCP, MCP]) == names([MCP])


def test_the_response_repeats_tools_as_they_were_sent() -> None:
    sent = [
        {**PLAIN, "parameters": None, "description": None, "defer_loading": True},
        {**MCP, "tools": [{**tool, "parameters": {"type": "object"}} for tool in MCP["tools"][:1]]},
        {
            "type": "custom",
            "name": "raw",
            "format": {"type": "grammar", "syntax": "regex", "definition": "a+"},
        },
        {"type": "web_search", "search_context_size": "low"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "local_shell"},
        {"type": "apply_patch"},
    ]
    assert opened_by(tools=sent)["tools"] == sent


HOSTED = [
    "web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "mcp", "computer",
    "computer_use_preview", "tool_search_hosted", "programmatic_tool_calling", "brand_new_2027",
]  # fmt: skip


@pytest.mark.parametrize("type", HOSTED)
def test_hosted_tools_are_left_out(type: str) -> None:
    chat = chat_of(tools=[{"type": type, "anything": [1]}, PLAIN])
    assert [tool.name for tool in chat.tools] == ["plain"]
    assert chat.left_out == (LeftOut("tools[0]", type),)
    alone = chat_of(tools=[{"type": type}], tool_choice="auto")
    assert alone.tools == () and alone.tool_choice == ToolChoice()


def test_a_container_shell_is_openais_to_run() -> None:
    chat = chat_of(tools=[{"type": "shell", "environment": {"type": "container_auto"}}, {"type": "shell"}])
    assert [tool.form for tool in chat.tools] == ["shell"]
    assert chat.left_out == (LeftOut("tools[0]", "shell"),)


def test_the_policy_may_be_to_refuse() -> None:
    body = parse_body({"model": "m", "input": "x", "tools": [{"type": "web_search"}]})
    reading = RequestReading(ReadingPolicy(hosted_tools="refuse"))
    with pytest.raises(UnsupportedParameter) as caught:
        to_chat(body, normal_items(body.input or (), IDS, {}, reading), served_name="m", reading=reading)
    assert caught.value.param == "tools[0].type"


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        ({"type": "function", "name": "look_up", "namespace": "mcp__demo"}, ("mcp__demo__look_up",)),
        ({"type": "custom", "name": "raw", "namespace": "mcp__demo"}, ("mcp__demo__raw",)),
        ({"type": "custom", "name": "plain"}, ("plain",)),
        ({"type": "shell"}, ("shell",)),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}, {"type": "shell"}]},
         ("shell",)),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "namespace", "name": "mcp__demo"}]},
         ("mcp__demo__look_up", "mcp__demo__find.all", "mcp__demo__raw")),
    ],
)  # fmt: skip
def test_choices(choice: Any, meant: tuple[str, ...]) -> None:
    tools = [PLAIN, MCP, {"type": "web_search"}, {"type": "shell"}]
    chat = chat_of(tools=tools, tool_choice=choice)
    assert chat.tool_choice == ToolChoice("required", meant)
    assert opened_by(tools=tools, tool_choice=choice)["tool_choice"] == choice


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "web_search"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
    ],
)
def test_a_call_of_a_left_out_tool_cannot_be_forced(choice: Any) -> None:
    with pytest.raises(InvalidRequest, match="left out") as caught:
        chat_of(tools=[{"type": "web_search"}], tool_choice=choice)
    assert caught.value.param == "tool_choice"


def test_an_echo_is_a_valid_response() -> None:
    response = opened_by(
        tools=[{"type": "namespace", "name": "n", "tools": []}, {"type": "custom", "name": "c"}]
    )
    Published.model_validate(response, strict=True)
    assert response["tools"][0]["description"] == ""
