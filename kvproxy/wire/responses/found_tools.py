"""Tools listed in the conversation itself: the result of a client's ``tool_search``, and ``additional_tools``.

The model reads of them where they stand, and may call them. They join no list at the head of the prompt: a change there
would cost everything that is kept of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kvproxy.core import Tool
from kvproxy.documents.prompts.tool_texts import canonical_tools
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.responses.call_types import FoundTools
from kvproxy.wire.responses.response_body import InputItem
from kvproxy.wire.responses.response_tools import ResponseToolBody, parse_tools
from kvproxy.wire.responses.types import Item
from kvproxy.wire.tools.offered_tools import Offered


def found_item(item: InputItem, id: str) -> FoundTools:
    """Return the item as it is kept."""
    kept: FoundTools = {
        "type": "additional_tools" if item.type == "additional_tools" else "tool_search_output",
        "id": id,
        "tools": [tool.model_dump(mode="json", exclude_unset=True) for tool in item.tools or ()],
    }
    if kept["type"] == "additional_tools":
        kept["role"] = "developer"
        return kept
    kept["execution"], kept["status"] = "client", "completed"
    if item.call_id is not None:
        kept["call_id"] = item.call_id
    return kept


def found_text(item: FoundTools) -> str:
    """Return the text that the model sees: each function as the template would list it, a line for each."""
    lines = [json.dumps(tool, ensure_ascii=False) for tool in canonical_tools(_tools(item))]
    return "\n".join(["These functions can be called:", *lines]) if lines else "No tool was found."


def with_found(offered: Offered, items: Iterable[Item]) -> Offered:
    """Return the request's own tools, and behind them those of the conversation with names that are not taken."""
    tools = {tool.name: tool for tool in offered.tools}
    for item in items:
        if item["type"] == "tool_search_output" or item["type"] == "additional_tools":
            for tool in _tools(item):
                tools.setdefault(tool.name, replace(tool, found=True))
    return replace(offered, tools=tuple(tools.values()))


def _tools(item: FoundTools) -> Sequence[Tool]:
    """Return the tools of an item. A hosted tool is dropped: it was never available here."""
    return parse_tools(
        [ResponseToolBody.model_validate(tool) for tool in item["tools"]], RequestReading()
    ).tools
