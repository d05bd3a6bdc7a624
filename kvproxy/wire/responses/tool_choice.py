"""The tool choice, in the flat form of the Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from kvproxy.core import ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.strict import Strict
from kvproxy.wire.responses.builtin_calls import BUILTINS
from kvproxy.wire.responses.response_tools import namespaced_name
from kvproxy.wire.tools.offered_tools import Offered, checked_choice


class AllowedResponseTool(Strict):
    """A tool that the model may call."""

    model_config = ConfigDict(extra="allow")

    type: str = "function"
    name: str | None = None
    namespace: str | None = None


class ResponseToolChoiceBody(AllowedResponseTool):
    """The tool choice."""

    type: str = Field(
        description="function, custom, allowed_tools or a built-in; as a string: none, auto or required."
    )
    mode: Literal["auto", "required"] = Field(default="auto", description="Of allowed_tools.")
    tools: list[AllowedResponseTool] | None = Field(default=None, description="Of allowed_tools.")


def _as_choice(choice: object) -> object:
    return {"type": choice} if isinstance(choice, str) else choice


ToolChoiceField = Annotated[
    ResponseToolChoiceBody | None,
    BeforeValidator(
        _as_choice, json_schema_input_type=Literal["none", "auto", "required"] | ResponseToolChoiceBody | None
    ),
]


def parse_choice(choice: ResponseToolChoiceBody | None, offered: Offered) -> ToolChoice:
    """Read the tool choice. Raises InvalidRequest, and UnsupportedParameter for a tool that cannot be run here."""
    return checked_choice(_choice(choice, offered), offered)


def choice_echo(choice: ResponseToolChoiceBody | None) -> str | dict[str, Any]:
    """Return the tool choice as the response repeats it; ``auto`` where the request has none."""
    if choice is None:
        return "auto"
    sent: dict[str, Any] = choice.model_dump(mode="json", exclude_unset=True)
    if choice.type == "allowed_tools":
        return {"mode": choice.mode, **sent}
    return choice.type if choice.type in ("none", "auto", "required") else sent


def _choice(choice: ResponseToolChoiceBody | None, offered: Offered) -> ToolChoice:
    match choice:
        case None:
            return ToolChoice()
        case ResponseToolChoiceBody(type="none" | "auto" | "required" as mode):
            return ToolChoice(mode)
        case ResponseToolChoiceBody(type="allowed_tools", mode=mode, tools=[_, *_] as tools):
            names = (n for i, t in enumerate(tools) for n in _names(t, f"tool_choice.tools[{i}]", offered))
            return ToolChoice(mode, tuple(dict.fromkeys(names)))
        case ResponseToolChoiceBody(type="allowed_tools"):
            raise _missing("tool_choice.tools")
        case ResponseToolChoiceBody(type=type) if (
            type in _NAMED or type in BUILTINS or type in offered.missing
        ):
            return ToolChoice("required", _names(choice, "tool_choice", offered))
    raise UnsupportedParameter(
        f"Unsupported value: 'tool_choice.type' is '{choice.type[:64]}'. Use 'none', 'auto', 'required', "
        "a function, a custom tool or allowed_tools.",
        param="tool_choice.type",
    )


_NAMED: Mapping[str, str] = {"function": "name", "custom": "name", "namespace": "name"}


def _names(tool: AllowedResponseTool, where: str, offered: Offered) -> tuple[str, ...]:
    """Return the names that a choice gives, as the model knows them; a hosted tool's is its type."""
    if tool.type not in _NAMED:
        return (BUILTINS.get(tool.type, tool.type),)
    if tool.name is None:
        raise _missing(f"{where}.name")
    if tool.type == "namespace":
        inside = tuple(t.name for t in offered.tools if t.namespace == tool.name)
        return inside or (namespaced_name(tool.name, ""),)
    for offer in offered.tools:
        if (offer.namespace, offer.bare_name) == (tool.namespace, tool.name) and tool.namespace:
            return (offer.name,)
    return (namespaced_name(tool.namespace, tool.name),)


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param)
