"""A call of the model as the item that its client expects, and such items of the history as calls again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kvproxy.core import Tool, ToolCall
from kvproxy.wire.responses.builtin_calls import BUILTINS, builtin_arguments, builtin_item
from kvproxy.wire.responses.call_types import BuiltinOutput, CustomToolCall
from kvproxy.wire.responses.ids import Ids
from kvproxy.wire.responses.response_tools import spaced_name
from kvproxy.wire.responses.types import FunctionCall, Item, OutputItem
from kvproxy.wire.tools.free_form import arguments_of, input_of


class CallItems:
    """Tells the calls of one answer. ``tools``: those that the model was offered."""

    def __init__(self, tools: Sequence[Tool] = ()) -> None:
        self._tools = {tool.name: tool for tool in tools}

    def tool(self, name: str) -> Tool:
        """The one that a call names; a plain function where none does."""
        return self._tools.get(name) or Tool(name)

    def item(self, ids: Ids, index: int, call: ToolCall) -> OutputItem:
        """The whole call. One of a built-in that the client could not run as it stands is told as a function's."""
        tool = self.tool(call.name)
        if tool.form == "custom":
            return custom_item(ids, index, tool, call.id, input_of(call.arguments))
        built_in = builtin_item(
            tool.form, ids.made(_PREFIXES.get(tool.form, "fc"), index), call.id, call.arguments
        )
        return built_in or function_item(ids, index, tool, call.id, call.arguments)


def function_item(ids: Ids, index: int, tool: Tool, call_id: str, arguments: str) -> FunctionCall:
    item: FunctionCall = {
        "type": "function_call",
        "id": ids.made("fc", index),
        "call_id": call_id,
        "name": tool.bare_name or tool.name,
        "arguments": arguments,
        "status": "completed",
    }
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    return item


def custom_item(ids: Ids, index: int, tool: Tool, call_id: str, input: str) -> CustomToolCall:
    item: CustomToolCall = {
        "type": "custom_tool_call",
        "id": ids.made("ctc", index),
        "call_id": call_id,
        "name": tool.bare_name or tool.name,
        "input": input,
        "status": "completed",
    }
    if tool.namespace is not None:
        item["namespace"] = tool.namespace
    return item


def call_of(item: Item, names: Mapping[tuple[str, str], str]) -> ToolCall | None:
    """The call that an item of the history tells; None for all others. ``names``: see :func:`names_of`."""
    match item["type"]:
        case "function_call":
            return ToolCall(item["call_id"], _name(item, names), item["arguments"])
        case "custom_tool_call":
            return ToolCall(item["call_id"], _name(item, names), arguments_of(item["input"]))
        case "local_shell_call" | "shell_call" | "apply_patch_call" | "tool_search_call" as kind:
            return ToolCall(item["call_id"], BUILTINS[kind.removesuffix("_call")], builtin_arguments(item))
    return None


def names_of(tools: Sequence[Tool]) -> Mapping[tuple[str, str], str]:
    """By namespace and own name, what the model knows a function as. Functions that are no longer offered are known
    by both names."""
    return {(tool.namespace, tool.bare_name or tool.name): tool.name for tool in tools if tool.namespace}


def output_text(item: BuiltinOutput) -> str:
    """The text that the model is told of a built-in's call."""
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
    return names.get((namespace, item["name"]), spaced_name(namespace, item["name"]))


def _chunk_text(chunk: Any) -> str:
    """One command's output: what it wrote, and how it ended where that was not well."""
    if not isinstance(chunk, dict):
        return json.dumps(chunk, ensure_ascii=False)
    texts = [chunk.get("stdout"), chunk.get("stderr")]
    outcome = chunk.get("outcome")
    if isinstance(outcome, dict) and outcome.get("type") == "timeout":
        texts.append("(timed out)")
    elif isinstance(outcome, dict) and outcome.get("exit_code") not in (0, None):
        texts.append(f"(exit code {outcome['exit_code']})")
    return "\n".join(text for text in texts if isinstance(text, str) and text)
