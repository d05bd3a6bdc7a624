"""Chat's tools, functions and free-form ones, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kvproxy.core import Tool, ToolChoice
from kvproxy.errors import InvalidRequest
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.tool_formats.base import CALLABLE, MOST_NAME
from kvproxy.wire.tools.free_form import TextFormatBody, free_form
from kvproxy.wire.tools.offered_tools import Offered, checked_choice, checked_tools, leave_out_tool
from kvproxy.wire.tools.tool_parameters import object_schema


class FunctionBody(Strict):
    """A function that the model may call."""

    name: str = Field(
        description=f"Up to {MOST_NAME} letters, digits and _ - . / : @.",
        json_schema_extra={"pattern": f"^{CALLABLE.pattern}$"},
    )
    description: str | None = None
    parameters: Any = Field(default=None, description="A JSON schema of an object.")
    strict: bool | None = Field(default=None, description="Arguments are held to the schema while sampling.")


class CustomBody(Strict):
    """A free-form tool: the model writes a text as its input."""

    name: str = Field(description="As a function's.", json_schema_extra={"pattern": f"^{CALLABLE.pattern}$"})
    description: str | None = None
    format: TextFormatBody | None = None


class ChatToolBody(Strict):
    """A tool of a chat completion."""

    type: str = Field(
        default="function", description="function or custom; tools that only a provider can run are left out."
    )
    function: FunctionBody | None = None
    custom: CustomBody | None = Field(default=None, description="Of a free-form tool.")


class FunctionName(Strict):
    """The name of a function or a free-form tool."""

    name: str


class AllowedChatTool(Strict):
    """A tool that the model may call."""

    type: str = "function"
    function: FunctionName | None = None
    custom: FunctionName | None = None


class AllowedTools(Strict):
    """A tool choice that is limited to some of the tools."""

    mode: Literal["auto", "required"]
    tools: ListOf[AllowedChatTool] = Field(min_length=1)


class ChatToolChoiceBody(Strict):
    """The tool choice."""

    type: str = Field(description="function, custom or allowed_tools; as a string: none, auto or required.")
    function: FunctionName | None = None
    custom: FunctionName | None = None
    allowed_tools: AllowedTools | None = None


def _as_choice(choice: object) -> object:
    return {"type": choice} if isinstance(choice, str) else choice


ToolChoiceField = Annotated[
    ChatToolChoiceBody | None,
    BeforeValidator(
        _as_choice, json_schema_input_type=Literal["none", "auto", "required"] | ChatToolChoiceBody | None
    ),
]


def checked_name(name: str, where: str) -> str:
    """Return a valid name. ``where`` is the path of the object that has the name. Raises InvalidRequest."""
    if CALLABLE.fullmatch(name) is None:
        raise InvalidRequest(
            f"Invalid '{where}.name': must be 1 to {MOST_NAME} letters, digits and _ - . / : @.",
            param=f"{where}.name",
        )
    return name


def make_tool(
    name: str,
    description: str | None,
    parameters: object,
    strict: bool,
    *,
    where: str,
    schema: str = "parameters",
) -> Tool:
    """Return a function.

    ``where`` is the path of the object that has the fields, ``schema`` the dialect's name for parameters. Raises
    InvalidRequest. Example: ``make_tool("find", None, {"type": "object"}, False, where="tools[0].function")``.
    """
    declared = object_schema(
        parameters, name=checked_name(name, where), strict=strict, where=f"{where}.{schema}"
    )
    return Tool(name, description, declared, strict)


def parse_tools(tools: Sequence[ChatToolBody] | None, reading: RequestReading) -> Offered:
    """Return chat's tools. ``reading`` records those left out (modified).

    Raises InvalidRequest, and UnsupportedParameter for a hosted tool where the policy is to refuse.
    """
    offered: list[Tool] = []
    missing: set[str] = set()
    for i, tool in enumerate(tools or ()):
        where = f"tools[{i}]"
        if tool.type == "function":
            if (f := tool.function) is None:
                raise _missing(f"{where}.function")
            offered.append(
                make_tool(f.name, f.description, f.parameters, bool(f.strict), where=f"{where}.function")
            )
        elif tool.type == "custom":
            if (c := tool.custom) is None:
                raise _missing(f"{where}.custom")
            offered.append(free_form(checked_name(c.name, f"{where}.custom"), c.description, c.format))
        else:
            leave_out_tool(reading, tool.type, where)
            missing.add(tool.type)
    return Offered(checked_tools(offered), frozenset(missing))


def parse_tool_choice(choice: ChatToolChoiceBody | None, offered: Offered) -> ToolChoice:
    """Read chat's tool_choice. Raises InvalidRequest."""
    return checked_choice(_choice(choice, offered), offered)


def _choice(choice: ChatToolChoiceBody | None, offered: Offered) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case ChatToolChoiceBody(type="none" | "auto" | "required" as mode):
            return ToolChoice(mode)
        case (
            ChatToolChoiceBody(type="function", function=FunctionName(name=name))
            | ChatToolChoiceBody(type="custom", custom=FunctionName(name=name))
        ):
            return ToolChoice("required", (name,))
        case ChatToolChoiceBody(type="allowed_tools", allowed_tools=AllowedTools() as allowed):
            return ToolChoice(allowed.mode, _allowed(allowed))
        case ChatToolChoiceBody(type="function" | "custom" | "allowed_tools" as type):
            raise _missing(f"tool_choice.{type}")
        case ChatToolChoiceBody(type=type) if type in offered.missing:
            return ToolChoice("required", (type,))
    raise InvalidRequest(
        "Invalid 'tool_choice': must be 'none', 'auto', 'required', a function, a custom tool or allowed_tools.",
        param="tool_choice",
    )


def _allowed(allowed: AllowedTools) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for i, tool in enumerate(allowed.tools):
        where = f"tool_choice.allowed_tools.tools[{i}]"
        named = {"function": tool.function, "custom": tool.custom}
        if tool.type not in named:
            names[tool.type] = None
        elif (chosen := named[tool.type]) is None:
            raise _missing(f"{where}.{tool.type}")
        else:
            names[chosen.name] = None
    return tuple(names)


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
