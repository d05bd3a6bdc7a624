"""Agents with several MCP servers send hundreds of tools: their grammar still compiles, and still tells them apart."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import Constraint, Tool, ToolChoice
from kvproxy.wire.tools.free_form import TextFormatBody, free_form
from kvproxy.wire.tools.offered_tools import MOST_TOOLS
from tests.engine.decode.test_compiled_grammars import admits, real
from tests.engine.walk import Walker

__all__ = ["real"]


def parameters(index: int) -> dict[str, Any]:
    """As an MCP server's: some texts, a choice, a list, a nested object."""
    return {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": f"Which of {index}."},
            "mode": {"type": "string", "enum": ["read", "write", f"own{index}"]},
            "lines": {"type": "array", "items": {"type": "integer"}},
            "options": {"type": "object", "properties": {"deep": {"type": "boolean"}}, "required": ["deep"]},
        },
        "required": ["path", "mode"],
        "additionalProperties": False,
    }


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_as_many_tools_as_are_allowed(real: Walker, mode: Any) -> None:
    tools = tuple(
        Tool(f"mcp__server{i // 40}__tool_{i}", None, parameters(i), strict=True) for i in range(MOST_TOOLS)
    )
    constraint = Constraint(tools=tools, choice=ToolChoice(mode))
    last = tools[-1].name
    assert admits(real, constraint, call(last, f'{{"path": "a", "mode": "own{MOST_TOOLS - 1}"}}'))
    assert not admits(real, constraint, call(last, '{"path": "a", "mode": "own0"}'))
    assert not admits(real, constraint, call("mcp__server0__tool_9999", '{"path": "a", "mode": "read"}'))


@pytest.mark.parametrize(
    ("text", "ok"), [("aabba", True), ("abc", False), ("", False), ("a\\n", False), ("c\\nc", True)]
)
def test_a_free_form_tools_expression_is_enforced(real: Walker, text: str, ok: bool) -> None:
    tool = free_form("run", None, TextFormatBody(type="grammar", syntax="regex", definition=r"[ab]+|c\nc"))
    constraint = Constraint(tools=(tool,), choice=ToolChoice("required", ("run",)))
    assert admits(real, constraint, call("run", f'{{"input": "{text}"}}')) is ok


def test_an_expression_that_cannot_be_enforced_refuses_no_request(real: Walker) -> None:
    tool = free_form("run", None, TextFormatBody(type="grammar", syntax="regex", definition=r"(?=a)b(?<!c)"))
    constraint = Constraint(tools=(tool,), choice=ToolChoice("required", ("run",)))
    assert admits(real, constraint, call("run", '{"input": "anything"}'))
