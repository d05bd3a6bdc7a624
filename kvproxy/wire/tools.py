"""Functions that the model may call, and which of them it has to: checked the same way in every dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.core import Tool, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.formats.base import CALLABLE
from kvproxy.wire.strict import Strict

MOST_TOOLS = 128


class FunctionBody(Strict):
    name: str = Field(
        description="Up to 128 letters, digits, _ and -.",
        json_schema_extra={"pattern": f"^{CALLABLE.pattern}$"},
    )
    description: str | None = None
    parameters: dict[str, Any] | None = Field(default=None, description="A JSON schema of an object.")
    strict: bool | None = Field(default=None, description="Arguments are held to the schema while sampling.")


class ToolBody(Strict):
    type: str = Field(description="function")
    function: FunctionBody | None = None


class FunctionName(Strict):
    name: str


class AllowedTool(Strict):
    type: str = "function"
    function: FunctionName | None = None


class AllowedTools(Strict):
    mode: Literal["auto", "required"]
    tools: list[AllowedTool] = Field(min_length=1)


class ToolChoiceBody(Strict):
    type: str = Field(description="function or allowed_tools; as a string: none, auto or required.")
    function: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


def _as_choice(choice: object) -> object:
    return {"type": choice} if isinstance(choice, str) else choice


ToolChoiceField = Annotated[
    ToolChoiceBody | None,
    BeforeValidator(
        _as_choice, json_schema_input_type=Literal["none", "auto", "required"] | ToolChoiceBody | None
    ),
]


def make_tool(
    name: str,
    description: str | None,
    parameters: Mapping[str, Any] | None,
    strict: bool,
    *,
    where: str,
    schema: str = "parameters",
) -> Tool:
    """``where`` is the path of the object that has the fields, ``schema`` the dialect's name for parameters.
    Raises InvalidRequest."""
    if CALLABLE.fullmatch(name) is None:
        raise InvalidRequest(
            f"Invalid '{where}.name': must be 1 to 128 letters, digits, underscores and dashes.",
            param=f"{where}.name",
        )
    if parameters and parameters.get("type", "object") != "object":
        raise InvalidRequest(
            f"Invalid '{where}.{schema}': function '{name}' needs a JSON Schema of 'type: \"object\"'.",
            param=f"{where}.{schema}",
        )
    return Tool(name, description, parameters, strict)


def checked_tools(tools: Sequence[Tool], *, param: str = "tools") -> tuple[Tool, ...]:
    """Raises InvalidRequest when two have one name, or when they are too many."""
    if len(tools) > MOST_TOOLS:
        raise InvalidRequest(
            f"Invalid '{param}': {len(tools)} tools, but at most {MOST_TOOLS} are allowed.", param=param
        )
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise InvalidRequest(
                f"Invalid '{param}': the name '{tool.name}' is given to two of them.", param=param
            )
        seen.add(tool.name)
    return tuple(tools)


def checked_choice(
    choice: ToolChoice, tools: Sequence[Tool], *, param: str = "tool_choice", tools_param: str = "tools"
) -> ToolChoice:
    """``none`` and ``auto`` ask for nothing where there are no tools; clients send them all the same. Raises
    InvalidRequest for a choice among tools that are not there."""
    if not tools and (choice.names or choice.mode == "required"):
        raise InvalidRequest(
            f"Invalid value for '{param}': '{param}' is only allowed when '{tools_param}' are specified.",
            param=param,
        )
    if not tools:
        return ToolChoice()
    known = {tool.name for tool in tools}
    for name in choice.names:
        if name not in known:
            raise InvalidRequest(
                f"Invalid value for '{param}': no function named '{name[:64]}' was specified in the "
                f"'{tools_param}' parameter.",
                param=param,
            )
    return choice


def parse_tools(tools: Sequence[ToolBody] | None) -> tuple[Tool, ...]:
    """Chat's tools. Raises InvalidRequest, and UnsupportedParameter for what is no function."""
    return checked_tools([_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools or ())])


def parse_tool_choice(choice: ToolChoiceBody | None, tools: Sequence[Tool]) -> ToolChoice:
    """Chat's tool_choice. Raises InvalidRequest."""
    return checked_choice(_choice(choice), tools)


def refuse_type(type: str, param: str) -> None:
    """Raises UnsupportedParameter for a tool that is no function."""
    if type != "function":
        raise UnsupportedParameter(
            f"Unsupported value: '{param}' is '{type[:64]}'. The local model takes tools of type 'function' only.",
            param=param,
        )


def _tool(tool: ToolBody, where: str) -> Tool:
    refuse_type(tool.type, f"{where}.type")
    f = tool.function
    if f is None:
        raise _missing(f"{where}.function")
    return make_tool(f.name, f.description, f.parameters, bool(f.strict), where=f"{where}.function")


def _choice(choice: ToolChoiceBody | None) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case ToolChoiceBody(type="none" | "auto" | "required" as mode):
            return ToolChoice(mode)
        case ToolChoiceBody(type="function", function=FunctionName(name=name)):
            return ToolChoice("required", (name,))
        case ToolChoiceBody(type="allowed_tools", allowed_tools=AllowedTools() as allowed):
            return ToolChoice(allowed.mode, _allowed(allowed))
        case ToolChoiceBody(type="function"):
            raise _missing("tool_choice.function")
        case ToolChoiceBody(type="allowed_tools"):
            raise _missing("tool_choice.allowed_tools")
    raise InvalidRequest(
        "Invalid 'tool_choice': must be 'none', 'auto', 'required', a function or allowed_tools.",
        param="tool_choice",
    )


def _allowed(allowed: AllowedTools) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for i, tool in enumerate(allowed.tools):
        where = f"tool_choice.allowed_tools.tools[{i}]"
        refuse_type(tool.type, f"{where}.type")
        if tool.function is None:
            raise _missing(f"{where}.function")
        names[tool.function.name] = None
    return tuple(names)


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
