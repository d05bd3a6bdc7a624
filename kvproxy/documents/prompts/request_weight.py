"""The weight of a request: an estimate of the cost of composing it, in characters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvproxy.core import ChatRequest, TextRequest
from kvproxy.runtime.off_loop import SMALL

_EACH = 64
"""Characters that a message, a part, a call or a value of a schema weighs beside its text, because each is
visited."""

_SEARCHED = 4
"""Times that a text weighs in which documents are looked for everywhere."""


def request_weight(request: ChatRequest | TextRequest) -> int:
    """Return the weight in characters.

    Of values that were sent as JSON (schemas, template variables) only as much is visited as shows that a request is
    not small.
    """
    if isinstance(request, TextRequest):
        return len(request.prompt)
    weight = 0
    for message in request.messages:
        weight += _EACH + len(message.reasoning or "")
        for part in message.content:
            weight += _EACH + len(getattr(part, "text", ""))
        for call in message.tool_calls:
            weight += _EACH + len(call.arguments)
    if request.placement == "front":
        weight *= _SEARCHED
    values: list[Any] = [request.template_kwargs]
    for tool in request.tools:
        weight += _EACH + len(tool.description or "")
        values.append(tool.parameters)
    while values and weight <= SMALL:
        value = values.pop()
        weight += _EACH
        if isinstance(value, str):
            weight += len(value)
        elif isinstance(value, Mapping):
            weight += sum(map(len, value))
            values += value.values()
        elif isinstance(value, list | tuple):
            values += value
    return weight
