"""Calls of the model as the items that a client expects, and such items of the history as calls again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.core import Tool, ToolCall
from kvproxy.wire.responses.builtin_calls import BUILTINS, builtin_arguments, builtin_item
from kvproxy.wire.responses.call_types import BuiltinOutput, CustomToolCall
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.response_tools import namespaced_name
from kvproxy.wire.responses.types import FunctionCall, Item, OutputItem
from kvproxy.wire.tools.free_form import arguments_of, input_of


class CallItems:
    """Writes the calls of one answer. ``tools``: those that the model was offered."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def tool(self, name: str) -> Tool:
        """Return the tool that a call names; a plain function for an unknown name."""
        return self._tools.get(name) or Tool(name)

    def item(self, ids: ResponseIds, index: int, call: ToolCall) -> OutputItem:
        """Return the item of a whole call. A built-in's call with invalid arguments becomes a function call.

        Example: ``CallItems(tools).item(ids, 0, ToolCall("call_1", "find", "{}"))["type"] == "function_call"``.
        """
        tool = self.tool(call.name)
        if tool.form == "custom":
            return custom_item(ids, index, tool, call.id, input_of(call.arguments))
        built_in = builtin_item(
            tool.form, ids.for_output(_PREFIXES.get(tool.form, "fc"), index), call.id, call.arguments
        )
        return built_in or function_item(ids, index, tool, call.id, call.arguments)


def function_item(ids: ResponseIds, index: int, tool: Tool, call_id: str, arguments: str) -> FunctionCall:
    """Return a ``function_call`` item. Example: ``function_item(ids, 0, tool, "call_1", '{"query": "x"}')``."""
    item: FunctionCall = {
        "type": "function_call",
        "id": ids.for_output("fc", index),
        "call_id": call_id,
        "name": tool.bare_name or tool.name,
        "arguments": arguments,
        "status": "completed",
    }
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    return item


def custom_item(ids: ResponseIds, index: int, tool: Tool, call_id: str, input: str) -> CustomToolCall:
    """Return a ``custom_tool_call`` item. Example: ``custom_item(ids, 0, tool, "call_1", "print(1)")``."""
    item: CustomToolCall = {
        "type": "custom_tool_call",
        "id": ids.for_output("ctc", index),
        "call_id": call_id,
        "name": tool.bare_name or tool.name,
        "input": input,
        "status": "completed",
    }
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    return item


def call_of(item: Item, names: Mapping[tuple[str, str], str]) -> ToolCall | None:
    """Return the call of an item of the history; None for all others. ``names``: see :func:`names_of`."""
    match item["type"]:
        case "function_call":
            return ToolCall(item["call_id"], _name(item, names), item["arguments"])
        case "custom_tool_call":
            return ToolCall(item["call_id"], _name(item, names), arguments_of(item["input"]))
        case "local_shell_call" | "shell_call" | "apply_patch_call" | "tool_search_call" as kind:
            return ToolCall(item["call_id"], BUILTINS[kind.removesuffix("_call")], builtin_arguments(item))
    return None


def names_of(tools: Sequence[Tool]) -> Mapping[tuple[str, str], str]:
    """Return the model's name of each function, by namespace and own name.

    Functions that are no longer offered go by both names.
    """
    return {(tool.namespace, tool.bare_name or tool.name): tool.name for tool in tools if tool.namespace}


def output_text(item: BuiltinOutput) -> str:
    """Return the text that the model sees of a built-in's output."""
    output = item["output"]
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "\n".join(_chunk_text(chunk) for chunk in output)
    return item["status"] if output is None else json.dumps(output, ensure_ascii=False)


_PREFIXES = {"local_shell": "lsh", "shell": "sh", "apply_patch": "apc", "tool_search": "tsc"}


def _name(item: FunctionCall | CustomToolCall, names: Mapping[tuple[str, str], str]) -> str:
    namespace = item.get("namespace")
    if not namespace:
        return item["name"]
    return names.get((namespace, item["name"]), namespaced_name(namespace, item["name"]))


def _chunk_text(chunk: Any) -> str:
    """Return one command's output: its text, and how it ended where it failed."""
    if not isinstance(chunk, dict):
        return json.dumps(chunk, ensure_ascii=False)
    texts = [chunk.get("stdout"), chunk.get("stderr")]
    outcome = chunk.get("outcome")
    if isinstance(outcome, dict) and outcome.get("type") == "timeout":
        texts.append("(timed out)")
    elif isinstance(outcome, dict) and outcome.get("exit_code") not in (0, None):
        texts.append(f"(exit code {outcome['exit_code']})")
    return "\n".join(text for text in texts if isinstance(text, str) and text)
