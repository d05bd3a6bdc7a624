"""The constraint that a request puts on its answer, for the engine to enforce. Pure."""

from __future__ import annotations

from kvproxy.core import ChatRequest, Constraint, Prompt, TextRequest
from kvproxy.wire.answer_formats.answer_grammar import CALL_FORMATS


def constraint_of(request: ChatRequest | TextRequest, prompt: Prompt) -> Constraint | None:
    """Return the constraint that the engine must enforce, or None for a free answer."""
    if not isinstance(request, ChatRequest):
        return None if request.response_format is None else Constraint(format=request.response_format)
    calls = request.tools if request.tool_choice.mode != "none" else ()
    names = request.tool_choice.names
    calls = tuple(tool for tool in calls if not names or tool.name in names)
    choice = request.tool_choice
    forced = bool(calls) and choice.mode == "required"
    # A choice of one name demands one call of it; "required" with several names may be several calls.
    parallel = request.parallel_tool_calls and not (forced and len(choice.names) == 1)
    enforceable = prompt.tool_format in CALL_FORMATS
    strict = any(tool.strict and (enforceable or not tool.assumed) for tool in calls)
    # Where a limit of one call cannot be enforced, it is a hint: many clients always send it, so it is not refused.
    single = bool(calls) and not request.parallel_tool_calls and enforceable
    if not (forced or strict or single or request.response_format is not None):
        return None
    return Constraint(
        tools=calls,
        choice=choice,
        parallel=parallel,
        format=request.response_format,
        reasoning=prompt.reasoning,
        tool_format=prompt.tool_format,
    )
