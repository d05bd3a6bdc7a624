"""A request's tools as the model gets them, and the names of those that only a provider can run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kvproxy.core import Tool, ToolChoice
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.bodies.request_reading import RequestReading

MOST_TOOLS = 512
"""Agents with several MCP servers send some hundreds. Each schema is compiled where calls are enforced, so the limit is
one of time; the grammar of them all compiles (tests/engine/test_many_tools.py)."""

_KIND = re.compile(r"[a-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Offered:
    """The tools of a request. ``missing``: names and types of those left out, as a choice would name them."""

    tools: tuple[Tool, ...] = ()
    missing: frozenset[str] = frozenset()


def leave_out_tool(reading: RequestReading, type: str, where: str, *, hint: str = "") -> None:
    """Record in ``reading`` (modified) that a tool only its provider can run is not offered. ``where`` is its path.

    Raises UnsupportedParameter where the policy is to refuse. Example: ``leave_out_tool(reading, "web_search",
    "tools[3]")``.
    """
    kind = type if _KIND.fullmatch(type) else "a tool of unknown type"
    if reading.policy.hosted_tools == "refuse":
        param = f"{where}.type" if where.endswith("]") else where
        raise UnsupportedParameter(
            f"Unsupported value: '{param}' is '{kind}', which only its provider's servers can run. "
            f"{hint or 'Leave it out.'}",
            param=param,
        )
    reading.leave_out(where, kind)


def checked_tools(tools: Sequence[Tool], *, param: str = "tools") -> tuple[Tool, ...]:
    """Return the tools, repeated ones once.

    Raises InvalidRequest when two have one name, or when there are too many.
    """
    if len(tools) > MOST_TOOLS:
        raise InvalidRequest(
            f"Invalid '{param}': {len(tools)} tools, but at most {MOST_TOOLS} are allowed. Send fewer.",
            param=param,
        )
    seen: dict[str, Tool] = {}
    for tool in tools:
        if seen.setdefault(tool.name, tool) != tool:
            raise InvalidRequest(
                f"Invalid '{param}': two tools have the name '{tool.name[:64]}'. Rename one.", param=param
            )
    return tuple(seen.values())


def checked_choice(
    choice: ToolChoice, offered: Offered, *, param: str = "tool_choice", tools_param: str = "tools"
) -> ToolChoice:
    """Return the choice among the offered tools.

    ``none`` and ``auto`` ask for nothing where there are no tools; clients send them all the same. Of several allowed
    tools those that were left out are dropped. Raises InvalidRequest for a choice among tools that are not there.

    Example: ``checked_choice(ToolChoice("required", ("find",)), offered)``.
    """
    known = {tool.name for tool in offered.tools}
    named = known | offered.missing
    for name in choice.names:
        if name not in named:
            raise _unknown(name, param, tools_param, any_tools=bool(named))
    kept = tuple(name for name in choice.names if name in known)
    if choice.mode == "required" and not (kept if choice.names else known):
        raise _not_here(choice, offered, param, tools_param)
    if not offered.tools:
        return ToolChoice()
    if choice.names and not kept:
        return ToolChoice("none")
    return ToolChoice(choice.mode, kept)


def _unknown(name: str, param: str, tools_param: str, *, any_tools: bool) -> InvalidRequest:
    if not any_tools:
        return _without_tools(param, tools_param)
    return InvalidRequest(
        f"Invalid value for '{param}': no function named '{name[:64]}' was specified in the '{tools_param}' parameter.",
        param=param,
    )


def _not_here(choice: ToolChoice, offered: Offered, param: str, tools_param: str) -> InvalidRequest:
    if not offered.missing:
        return _without_tools(param, tools_param)
    named = f"'{choice.names[0][:64]}' was" if len(choice.names) == 1 else "the tools that it names were"
    return UnsupportedParameter(
        f"Unsupported value for '{param}': a call is demanded, but {named} left out: only a "
        "provider's servers can run such a tool. Choose a function, or 'auto'.",
        param=param,
    )


def _without_tools(param: str, tools_param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{param}': '{param}' is only allowed when '{tools_param}' are specified.",
        param=param,
    )
