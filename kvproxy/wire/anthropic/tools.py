"""Tools as Anthropic's clients define, choose and remember them."""

from __future__ import annotations

from kvproxy.core import Tool, ToolCall, ToolChoice
from kvproxy.errors import InvalidRequest
from kvproxy.wire.anthropic.blocks import ToolUseBlockBody
from kvproxy.wire.anthropic.body import ToolBody, ToolChoiceBody
from kvproxy.wire.anthropic.parts import refused
from kvproxy.wire.anthropic.tool_ids import core_id
from kvproxy.wire.history.arguments import NAMELESS, arguments_text


def tools_of(tools: list[ToolBody]) -> tuple[Tool, ...]:
    """Raises InvalidRequest for a name given twice, UnsupportedParameter for what would be ignored."""
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if tool.name in seen:
            raise InvalidRequest(
                f"Invalid '{where}.name': '{tool.name}' is defined twice.", param=f"{where}.name"
            )
        seen.add(tool.name)
        if tool.input_schema.get("type", "object") != "object":
            raise InvalidRequest(
                f"Invalid '{where}.input_schema.type': the input of a tool is an object.",
                param=f"{where}.input_schema.type",
            )
        if tool.input_examples:
            raise refused(f"{where}.input_examples", "put examples into the description")
        if tool.allowed_callers is not None and "direct" not in tool.allowed_callers:
            raise refused(f"{where}.allowed_callers", "only the model itself calls tools; include 'direct'")
    return tuple(Tool(t.name, t.description, t.input_schema, bool(t.strict)) for t in tools)


def choice_of(choice: ToolChoiceBody | None, tools: tuple[Tool, ...]) -> ToolChoice:
    """Raises InvalidRequest when a call is demanded that cannot be made."""
    if choice is None or choice.type == "auto":
        return ToolChoice()
    if choice.type == "none":
        return ToolChoice("none")
    if not tools:
        raise InvalidRequest(
            "Invalid 'tool_choice': there are no 'tools' to choose from.", param="tool_choice"
        )
    if choice.type == "any":
        return ToolChoice("required")
    if choice.name is None:
        raise InvalidRequest("Missing required parameter: 'tool_choice.name'.", param="tool_choice.name")
    if choice.name not in {tool.name for tool in tools}:
        raise InvalidRequest(
            f"Invalid 'tool_choice.name': no tool is named '{choice.name[:64]}'.", param="tool_choice.name"
        )
    return ToolChoice("required", (choice.name,))


def call_of(block: ToolUseBlockBody) -> ToolCall:
    """The input as text, spaced as models write it, its keys in the order they came: that of the answer."""
    input = {} if block.input is None else block.input
    return ToolCall(core_id(block.id), block.name or NAMELESS, arguments_text(input))
