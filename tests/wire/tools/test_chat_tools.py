from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import ChatRequest, LeftOut, Tool, ToolCall, ToolChoice
from kvproxy.errors import InvalidRequest
from kvproxy.wire.chat.parse_chat import parse_chat


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
        ({"tools": [function(f"f{i}") for i in range(513)]}, "tools"),
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


def test_free_form_tools_are_functions_with_one_text() -> None:
    custom = {"type": "custom", "custom": {"name": "sql", "description": "Asks."}}
    request = parse(tools=[custom, function("f")], tool_choice={"type": "custom", "custom": {"name": "sql"}})
    assert [(tool.name, tool.form) for tool in request.tools] == [("sql", "custom"), ("f", "function")]
    assert request.tool_choice == ToolChoice("required", ("sql",))
    allowed = {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "sql"}}]}
    chosen = parse(tools=[custom], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert chosen.tool_choice == ToolChoice("auto", ("sql",))


def test_a_call_of_a_free_form_tool_comes_back() -> None:
    call = {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": 'select "é"'}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
    said = parse(
        messages=[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}, result]
    )
    assert said.messages[1].tool_calls == (ToolCall("call_1", "sql", '{"input": "select \\"é\\""}'),)


@pytest.mark.parametrize("type", ["web_search", "mcp", "retrieval", "brand_new"])
def test_hosted_tools_are_left_out(type: str) -> None:
    request = parse(tools=[{"type": type, "anything": {}}, function("f")], tool_choice="required")
    assert ([tool.name for tool in request.tools], request.left_out) == (["f"], (LeftOut("tools[0]", type),))
    assert parse(tools=[{"type": type}], tool_choice="auto").tool_choice == ToolChoice()
    with pytest.raises(InvalidRequest, match="left out"):
        parse(tools=[{"type": type}], tool_choice={"type": type})


def test_names_may_hold_the_characters_that_adapters_put_into_them() -> None:
    names = ["mcp.server/tool", "a:b", "npm@1", "x" * 256]
    assert [tool.name for tool in parse(tools=[function(name) for name in names]).tools] == names
