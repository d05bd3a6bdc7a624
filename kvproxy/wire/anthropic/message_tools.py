"""Tools, tool choices and past tool calls as Anthropic's clients send them."""

from __future__ import annotations

from kvproxy.core import Tool, ToolCall, ToolChoice
from kvproxy.errors import InvalidRequest
from kvproxy.wire.anthropic.blocks import ToolUseBlockBody
from kvproxy.wire.anthropic.builtin_tools import builtin_tool
from kvproxy.wire.anthropic.message_body import AnthropicToolBody, AnthropicToolChoiceBody
from kvproxy.wire.anthropic.tool_ids import core_id
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.history.arguments import NAMELESS, arguments_text
from kvproxy.wire.tools.chat_tools import make_tool
from kvproxy.wire.tools.offered_tools import Offered, checked_choice, checked_tools, leave_out_tool


def parse_anthropic_tools(tools: list[AnthropicToolBody], reading: RequestReading) -> Offered:
    """Return the request's tools. ``reading`` records those left out (modified).

    Raises InvalidRequest, and UnsupportedParameter for a hosted tool where the policy is to refuse.
    """
    offered: list[Tool] = []
    missing: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        kind = tool.type or "custom"
        made = (
            _function(tool, where) if kind == "custom" else builtin_tool(kind, tool.name, bool(tool.strict))
        )
        if made is not None:
            offered.append(made)
        else:
            leave_out_tool(reading, kind, where)
            missing |= {kind} | ({tool.name} if tool.name else set())
    return Offered(checked_tools(offered), frozenset(missing))


def parse_anthropic_choice(choice: AnthropicToolChoiceBody | None, offered: Offered) -> ToolChoice:
    """Read the tool choice. Raises InvalidRequest when a call is demanded that cannot be made."""
    if choice is None or choice.type == "auto":
        return ToolChoice()
    if choice.type == "none":
        return ToolChoice("none")
    if choice.type == "any":
        return checked_choice(ToolChoice("required"), offered)
    if choice.name is None and offered.tools:
        raise InvalidRequest("Missing required parameter: 'tool_choice.name'.", param="tool_choice.name")
    names = () if choice.name is None else (choice.name,)
    param = "tool_choice.name" if offered.tools or offered.missing else "tool_choice"
    return checked_choice(ToolChoice("required", names), offered, param=param)


def _function(tool: AnthropicToolBody, where: str) -> Tool:
    if tool.name is None:
        raise InvalidRequest(f"Missing required parameter: '{where}.name'.", param=f"{where}.name")
    return make_tool(
        tool.name, tool.description, tool.input_schema, bool(tool.strict), where=where, schema="input_schema"
    )


def call_of(block: ToolUseBlockBody) -> ToolCall:
    """Return a past call, its input as text with the spacing and key order of the answer it came from."""
    input = {} if block.input is None else block.input
    return ToolCall(core_id(block.id), block.name or NAMELESS, arguments_text(input))
