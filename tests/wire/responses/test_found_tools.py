from __future__ import annotations

from typing import Any

from kvproxy.core import Message, TextPart, Tool, ToolChoice
from tests.wire.responses.test_parse_response import chat_of

SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
QUESTION = {"role": "user", "content": "x"}
CALL = {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "mail"}}
FOUND: dict[str, Any] = {
    "type": "tool_search_output",
    "call_id": "c",
    "execution": "client",
    "tools": [
        {"type": "namespace", "name": "mcp__mail", "description": "", "tools": [
            {"type": "function", "name": "send", "description": "Sends.", "strict": False, "defer_loading": True}]},
        {"type": "web_search"},
    ],
}  # fmt: skip
SEND = Tool("mcp__mail__send", "Sends.", namespace="mcp__mail", bare_name="send", found=True)
TOLD = (
    'These functions can be called:\n{"type": "function", "function": {"name": "mcp__mail__send", "description": '
    '"Sends.", "parameters": {"type": "object", "properties": {}}}}'
)


def test_tools_found_by_a_clients_search_can_be_called() -> None:
    chat = chat_of(input=[QUESTION, CALL, FOUND], tools=[SEARCH])
    assert [tool.name for tool in chat.tools] == ["tool_search", "mcp__mail__send"]
    assert chat.tools[1] == SEND
    assert chat.messages[2] == Message("tool", (TextPart(TOLD),), tool_call_id="c")
    choice = {"type": "function", "name": "send", "namespace": "mcp__mail"}
    chosen = chat_of(input=[QUESTION, CALL, FOUND], tools=[SEARCH], tool_choice=choice)
    assert chosen.tool_choice == ToolChoice("required", ("mcp__mail__send",))
    assert chat.left_out == ()


def test_a_search_may_find_nothing_or_an_offered_tool() -> None:
    nothing = chat_of(input=[QUESTION, CALL, {**FOUND, "tools": []}], tools=[SEARCH])
    assert nothing.messages[2].content == (TextPart("No tool was found."),)
    offered = chat_of(input=[QUESTION, CALL, FOUND], tools=[SEARCH, *FOUND["tools"][:1]])
    assert [(tool.name, tool.found) for tool in offered.tools][1:] == [("mcp__mail__send", False)]


def test_additional_tools_are_listed_where_they_stand() -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": FOUND["tools"]}
    chat = chat_of(input=[QUESTION, more, {"role": "user", "content": "y"}])
    assert chat.tools == (SEND,)
    assert chat.messages[1] == Message("system", (TextPart(TOLD),))
