from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import ChatRequest, Tool, ToolChoice
from kvproxy.errors import InvalidRequest
from kvproxy.wire.chat import parse_chat


def function(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse_chat(body, served_name="m")


def test_tools_keep_the_clients_own_schema() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}, "$schema": "x"}
    request = parse(tools=[function("f", description="d", parameters=schema, strict=True), function("g")])
    assert request.tools == (Tool("f", "d", schema, strict=True), Tool("g"))
    assert list((request.tools[0].parameters or {})["properties"]) == ["b", "a"]
    assert request.tool_choice == ToolChoice() and request.parallel_tool_calls


@pytest.mark.parametrize(
    ("choice", "parsed"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        (named("g"), ToolChoice("required", ("g",))),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("g"), named("f")]}},
            ToolChoice("auto", ("g", "f")),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("f")]}},
            ToolChoice("required", ("f",)),
        ),
    ],
)
def test_tool_choices(choice: Any, parsed: ToolChoice) -> None:
    request = parse(tools=[function("f"), function("g")], tool_choice=choice, parallel_tool_calls=False)
    assert request.tool_choice == parsed
    assert not request.parallel_tool_calls


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [function("a b")]}, "tools[0].function.name"),
        ({"tools": [function("x" * 257)]}, "tools[0].function.name"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [function("f", parameters=[])]}, "tools[0].function.parameters"),
        (
            {"tools": [function("f", parameters={"type": "array"}, strict=True)]},
            "tools[0].function.parameters",
        ),
        ({"tools": [function("f"), function("f", description="another")]}, "tools"),
        ({"tools": [function(f"f{i}") for i in range(1025)]}, "tools"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [{"type": "custom", "custom": {"name": "a b"}}]}, "tools[0].custom.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": named("f")}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": named("g")}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": 5}, "tool_choice"),
        ({"tools": [function("f")], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [function("f")], "tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"functions": [{"name": "a b"}]}, "functions[0].name"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
    ],
)
def test_faults_name_the_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param
    assert param.split("[")[0] in caught.value.message
