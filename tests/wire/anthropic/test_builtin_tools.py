from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import ChatRequest, LeftOut, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages
from kvproxy.wire.bodies.request_reading import ReadingPolicy

FIND = {"name": "find", "input_schema": {"type": "object"}}


def asked(*tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "tools": list(tools),
        **fields,
    }


def parse(*tools: dict[str, Any], **fields: Any) -> ChatRequest:
    chat = parse_messages(asked(*tools, **fields))
    assert parse_count(asked(*tools, **fields)).left_out == chat.left_out
    return chat


@pytest.mark.parametrize(
    ("type", "name", "commands"),
    [
        ("bash_20241022", "bash", None),
        ("bash_20250124", "bash", None),
        ("bash_20270101", "bash", None),
        ("text_editor_20241022", "str_replace_editor", 5),
        ("text_editor_20250124", "str_replace_editor", 5),
        ("text_editor_20250429", "str_replace_based_edit_tool", 4),
        ("text_editor_20250728", "str_replace_based_edit_tool", 4),
        ("memory_20250818", "memory", 6),
    ],
)
def test_a_built_in_of_the_client_is_served_with_its_known_schema(
    type: str, name: str, commands: int | None
) -> None:
    [tool] = parse({"type": type, "name": name, "strict": True}).tools
    assert (tool.name, tool.strict, tool.form) == (name, True, "function")
    properties = (tool.parameters or {})["properties"]
    assert len(properties["command"].get("enum", ())) == (commands or 0)
    [bare] = parse({"type": type}).tools
    assert bare.name == name or type == "bash_20270101"


@pytest.mark.parametrize(
    "type",
    [
        "web_search_20250305", "web_fetch_20250910", "code_execution_20250825", "computer_20250124", "mcp_toolset",
        "tool_search_tool_regex_20251119", "tool_search_tool_bm25", "advisor_20260301", "browser_toolset_20260801",
        "brand_new_20270101",
    ],
)  # fmt: skip
def test_a_hosted_tool_is_left_out(type: str) -> None:
    chat = parse({"type": type, "name": "hosted", "max_uses": 3}, {**FIND, "defer_loading": True})
    assert [tool.name for tool in chat.tools] == ["find"]
    assert chat.left_out == (LeftOut("tools[0]", type),)
    assert parse({"type": type}).tool_choice == ToolChoice()
    with pytest.raises(InvalidRequest, match="'hosted' was left out"):
        parse({"type": type, "name": "hosted"}, FIND, tool_choice={"type": "tool", "name": "hosted"})
    with pytest.raises(UnsupportedParameter) as caught:
        parse_messages(asked({"type": type}), ReadingPolicy(hosted_tools="refuse"))
    assert caught.value.param == "tools[0].type"


def test_servers_and_containers_are_hosted_too() -> None:
    chat = parse(
        FIND, mcp_servers=[{"type": "url", "url": "https://x", "name": "n"}], container={"skills": [{}]}
    )
    assert [item.param for item in chat.left_out] == ["container", "mcp_servers"]
    assert parse(FIND, mcp_servers=[], container=None).left_out == ()
