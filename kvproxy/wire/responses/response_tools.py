"""Tools in the flat form of the Responses API: functions, free-form tools, namespaces of both, and built-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ConfigDict, Field

from kvproxy.core import Tool
from kvproxy.errors import UnsupportedSchema
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.bodies.strict import ListOf, Strict
from kvproxy.wire.responses.builtin_calls import builtin_tool
from kvproxy.wire.responses.required_field import required
from kvproxy.wire.schemas.json_schema import enforceable_schema
from kvproxy.wire.tool_formats.base import MOST_NAME
from kvproxy.wire.tools.chat_tools import checked_name, make_tool
from kvproxy.wire.tools.free_form import TextFormatBody, free_form
from kvproxy.wire.tools.offered_tools import Offered, checked_tools, leave_out_tool


class InnerToolBody(Strict):
    """A tool inside of a namespace: a function, or a free-form tool."""

    model_config = ConfigDict(extra="allow")
    """The response repeats tools as they were sent."""

    type: str = Field(default="function", description="function or custom")
    name: str | None = Field(default=None, description=f"Up to {MOST_NAME} letters, digits and _ - . / : @.")
    description: str | None = None
    parameters: Any = Field(default=None, description="Of a function: a JSON schema of an object.")
    strict: bool | None = Field(
        default=None,
        description="Arguments are held to the schema while sampling. Default: wherever that is possible.",
    )
    format: TextFormatBody | None = Field(default=None, description="Of a free-form tool.")
    execution: Any = Field(default=None, description="Of tool_search: `client` ones are the client's to run.")
    environment: Any = Field(default=None, description="Of shell: `local` ones are the client's to run.")


class ResponseToolBody(InnerToolBody):
    """A tool of a request. One that only OpenAI's own platform can run is left out, and named in a header."""

    type: str = Field(
        default="function",
        description="function, custom, namespace, or a built-in that the client runs; hosted tools are left out.",
    )
    tools: ListOf[InnerToolBody] | None = Field(default=None, description="Of a namespace: its tools.")


def namespaced_name(namespace: str | None, name: str) -> str:
    """Return the model's name of a function of a namespace: always both names.

    A further tool then changes no token of the others, and history needs no tools to be understood.
    """
    return f"{namespace}__{name}" if namespace else name


def parse_tools(tools: Sequence[ResponseToolBody], reading: RequestReading) -> Offered:
    """Return the request's tools. ``reading`` records those left out (modified).

    Raises InvalidRequest, and UnsupportedParameter for a hosted tool where the policy is to refuse.
    """
    offered: list[Tool] = []
    missing: set[str] = set()
    for declared in _declared(tools):
        tool = _tool(declared)
        if tool is not None:
            offered.append(tool)
        else:
            leave_out_tool(reading, declared.body.type, declared.where)
            missing |= {declared.body.type} | ({declared.body.name} if declared.body.name else set())
    return Offered(
        checked_tools(_with_distinct_names(_with_namespace_descriptions(offered, tools))), frozenset(missing)
    )


def tool_echo(body: ResponseToolBody, tool: Tool | None) -> dict[str, Any]:
    """Return the tool as it was sent, and for a function the fields that the API always has from ``tool``."""
    sent = body.model_dump(mode="json", exclude_unset=True)
    sent = {key: value for key, value in sent.items() if key not in _HINTS or _HINTS[key](value)}
    if body.type == "namespace":
        return {"description": "", **sent}
    if body.type != "function" or tool is None:
        return {"type": body.type, **sent}
    parameters = body.parameters if isinstance(body.parameters, dict) else None
    always = {"type": "function", "name": body.name, "description": body.description}
    return {**always, **sent, "parameters": parameters, "strict": tool.strict}


def _callers(value: Any) -> bool:
    return isinstance(value, list) and all(caller in ("direct", "programmatic") for caller in value)


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


_HINTS: Mapping[str, Callable[[Any], bool]] = {
    "allowed_callers": _callers,
    "defer_loading": _switch,
    "async": _switch,
}
"""Accepted in any shape, and repeated where that leaves the response valid."""


@dataclass(frozen=True, slots=True)
class _Declared:
    body: InnerToolBody
    where: str
    namespace: str | None = None


def _declared(tools: Sequence[ResponseToolBody]) -> Iterator[_Declared]:
    for i, tool in enumerate(tools):
        if tool.type != "namespace":
            yield _Declared(tool, f"tools[{i}]")
            continue
        namespace = required(tool.name, f"tools[{i}].name")
        for j, inner in enumerate(tool.tools or ()):
            yield _Declared(inner, f"tools[{i}].tools[{j}]", namespace)


def _tool(declared: _Declared) -> Tool | None:
    body, where, namespace = declared.body, declared.where, declared.namespace
    if body.type == "tool_search" and body.execution == "client":
        made = make_tool(body.type, body.description, body.parameters, False, where=where)
        return replace(made, form="tool_search")
    if body.type not in ("function", "custom"):
        return builtin_tool(body.type, body.environment)
    own = required(body.name, f"{where}.name")
    name = checked_name(namespaced_name(namespace, own), where)
    if body.type == "custom":
        made = free_form(name, body.description, body.format)
    else:
        made = make_tool(name, body.description, body.parameters, bool(body.strict), where=where)
        if body.strict is None and _can_be_strict(made):
            made = replace(made, strict=True, assumed=True)
    return replace(made, namespace=namespace, bare_name=own) if namespace else made


def _can_be_strict(tool: Tool) -> bool:
    """Return whether a function can be strict.

    In this API functions are strict by default; a request that did not set it must not be refused for it.
    """
    if not tool.parameters:
        return False
    try:
        enforceable_schema(tool.parameters, where=f"function '{tool.name}'", param="tools")
    except UnsupportedSchema:
        return False
    return True


def _with_namespace_descriptions(offered: Sequence[Tool], tools: Sequence[ResponseToolBody]) -> list[Tool]:
    """Put a namespace's description before that of its first function by name, the first that the model sees."""
    descriptions: Mapping[str | None, str] = {
        tool.name: tool.description for tool in tools if tool.type == "namespace" and tool.description
    }
    first: dict[str | None, str] = {}
    for tool in offered:
        first[tool.namespace] = min(tool.name, first.get(tool.namespace, tool.name))
    return [
        replace(tool, description="\n\n".join(filter(None, (descriptions[tool.namespace], tool.description))))
        if tool.namespace in descriptions and first[tool.namespace] == tool.name
        else tool
        for tool in offered
    ]


def _with_distinct_names(offered: Sequence[Tool]) -> list[Tool]:
    """Add a number to a function of a namespace where another tool has its name, by their order in the request."""
    taken = {tool.name for tool in offered if tool.namespace is None}
    seen: dict[str, Tool] = {}
    renamed: list[Tool] = []
    for tool in offered:
        name, number = tool.name, 1
        while tool.namespace is not None and (name in taken or not _same_place(seen.get(name, tool), tool)):
            number += 1
            name = f"{tool.name[: MOST_NAME - 5]}_{number}"
        seen[name] = tool
        renamed.append(replace(tool, name=name))
    return renamed


def _same_place(one: Tool, other: Tool) -> bool:
    return (one.namespace, one.bare_name) == (other.namespace, other.bare_name)
