"""Tools and the choice among them, in the flat form of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.core import Tool, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter, UnsupportedSchema
from kvproxy.wire.json_schema import enforceable
from kvproxy.wire.responses.types import FunctionTool
from kvproxy.wire.strict import Strict
from kvproxy.wire.tools import checked_choice, checked_tools, make_tool, refuse_type


class ToolBody(Strict):
    """A function. The built-in tools of OpenAI's own platform are refused by name."""

    type: str = Field(description="function")
    name: str | None = Field(default=None, description="Up to 128 letters, digits, _ and -.")
    description: str | None = None
    parameters: dict[str, Any] | None = Field(default=None, description="A JSON schema of an object.")
    strict: bool | None = Field(
        default=None,
        description="Arguments are held to the schema while sampling. Default: wherever that is possible.",
    )


class AllowedTool(Strict):
    type: str = "function"
    name: str | None = None


class ToolChoiceBody(Strict):
    type: str = Field(description="function or allowed_tools; as a string: none, auto or required.")
    name: str | None = Field(default=None, description="Of the function.")
    mode: Literal["auto", "required"] = Field(default="auto", description="Of allowed_tools.")
    tools: list[AllowedTool] | None = Field(default=None, description="Of allowed_tools.")


def _as_choice(choice: object) -> object:
    return {"type": choice} if isinstance(choice, str) else choice


ToolChoiceField = Annotated[
    ToolChoiceBody | None,
    BeforeValidator(
        _as_choice, json_schema_input_type=Literal["none", "auto", "required"] | ToolChoiceBody | None
    ),
]


def parse_tools(tools: Sequence[ToolBody]) -> tuple[Tool, ...]:
    """Raises InvalidRequest, and UnsupportedParameter for what is no function."""
    return checked_tools([_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)])


def parse_choice(choice: ToolChoiceBody | None, tools: Sequence[Tool]) -> ToolChoice:
    """Raises InvalidRequest, and UnsupportedParameter for a tool that is no function."""
    return checked_choice(_choice(choice), tools)


def tool_echo(tool: Tool) -> FunctionTool:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": None if tool.parameters is None else dict(tool.parameters),
        "strict": tool.strict,
    }


def choice_echo(choice: ToolChoiceBody | None) -> str | dict[str, Any]:
    if choice is None:
        return "auto"
    if choice.type == "function":
        return {"type": "function", "name": choice.name}
    if choice.type == "allowed_tools":
        tools = [{"type": tool.type, "name": tool.name} for tool in choice.tools or ()]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.type


def _tool(tool: ToolBody, where: str) -> Tool:
    refuse_type(tool.type, f"{where}.type")
    if tool.name is None:
        raise _missing(f"{where}.name")
    strict = tool.strict if tool.strict is not None else _can_be_strict(tool.name, tool.parameters)
    made = make_tool(tool.name, tool.description, tool.parameters, strict, where=where)
    return replace(made, assumed=strict and tool.strict is None)


def _can_be_strict(name: str, parameters: Mapping[str, Any] | None) -> bool:
    """Here functions are strict unless told otherwise; who did not ask must not be refused for it."""
    if not parameters:
        return False
    try:
        enforceable(parameters, where=f"function '{name}'", param="tools")
    except UnsupportedSchema:
        return False
    return True


def _choice(choice: ToolChoiceBody | None) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case ToolChoiceBody(type="none" | "auto" | "required" as mode):
            return ToolChoice(mode)
        case ToolChoiceBody(type="function", name=str() as name):
            return ToolChoice("required", (name,))
        case ToolChoiceBody(type="function"):
            raise _missing("tool_choice.name")
        case ToolChoiceBody(type="allowed_tools", mode=mode, tools=[_, *_] as tools):
            return ToolChoice(mode, tuple(dict.fromkeys(_allowed(t, i) for i, t in enumerate(tools))))
        case ToolChoiceBody(type="allowed_tools"):
            raise _missing("tool_choice.tools")
    raise UnsupportedParameter(
        f"Unsupported value: 'tool_choice.type' is '{choice.type[:64]}'. Use 'none', 'auto', 'required', "
        "a function or allowed_tools.",
        param="tool_choice.type",
    )


def _allowed(tool: AllowedTool, index: int) -> str:
    where = f"tool_choice.tools[{index}]"
    refuse_type(tool.type, f"{where}.type")
    if tool.name is None:
        raise _missing(f"{where}.name")
    return tool.name


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
