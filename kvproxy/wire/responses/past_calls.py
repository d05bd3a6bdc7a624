"""Earlier calls other than function calls, and their results, from the request to their normal form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from kvproxy.errors import InvalidRequest
from kvproxy.wire.responses.builtin_calls import BUILTINS, BuiltinCall, builtin_item
from kvproxy.wire.responses.call_types import BuiltinOutput, CustomToolCall
from kvproxy.wire.responses.found_tools import found_item
from kvproxy.wire.responses.required_field import required
from kvproxy.wire.responses.response_body import InputItem
from kvproxy.wire.responses.response_ids import ResponseIds
from kvproxy.wire.responses.types import Item


def past_call(item: InputItem, where: str, index: int, ids: ResponseIds) -> Item:
    """Return a past call or result in its normal form. ``where`` is the item's path.

    Raises InvalidRequest naming the field, ValueError for items of other types. Example: ``past_call(item, "input[3]",
    3, ids)``.
    """
    match item.type:
        case "custom_tool_call":
            return _custom_call(item, where, item.id or ids.for_input("ctc", index))
        case "local_shell_call" | "shell_call" | "apply_patch_call" | "tool_search_call":
            return _builtin_call(item, where, item.id or ids.for_input("btc", index))
        case "tool_search_output" | "additional_tools":
            return found_item(item, item.id or ids.for_input("tso", index))
        case "local_shell_call_output" | "shell_call_output" | "apply_patch_call_output":
            return _builtin_output(item, where, item.id or ids.for_input("bto", index))
    raise ValueError(item.type)


def _custom_call(item: InputItem, where: str, id: str) -> CustomToolCall:
    call: CustomToolCall = {
        "type": "custom_tool_call",
        "id": id,
        "call_id": required(item.call_id, f"{where}.call_id"),
        "name": required(item.name, f"{where}.name"),
        "input": item.input,
        "status": "completed",
    }
    if item.namespace:
        call["namespace"] = item.namespace
    return call


def _builtin_call(item: InputItem, where: str, id: str) -> BuiltinCall:
    """Return the call in the form in which it was sent, with fields that a client has left out of it restored."""
    form = BUILTINS[item.type.removesuffix("_call")]
    field = {"apply_patch": "operation", "tool_search": "arguments"}.get(form, "action")
    value = {"operation": item.operation, "arguments": item.result, "action": item.action}[field]
    arguments = json.dumps(required(value, f"{where}.{field}"), ensure_ascii=False)
    call = builtin_item(form, id, item.call_id or id, arguments)
    if call is None:
        raise InvalidRequest(
            f"Invalid '{where}.{field}': it is not a valid call of '{form}'.", param=f"{where}.{field}"
        )
    return call


def _builtin_output(item: InputItem, where: str, id: str) -> BuiltinOutput:
    """Return a built-in's output. A local shell's names its call by ``id``; all others by ``call_id``."""
    return {
        "type": _BUILTIN_OUTPUTS[item.type],
        "id": id,
        "call_id": required(item.call_id or item.id, f"{where}.call_id"),
        "output": item.result,
        "status": item.status if isinstance(item.status, str) else "completed",
    }


_BUILTIN_OUTPUTS: Mapping[
    str, Literal["shell_call_output", "local_shell_call_output", "apply_patch_call_output"]
] = {
    "shell_call_output": "shell_call_output",
    "local_shell_call_output": "local_shell_call_output",
    "apply_patch_call_output": "apply_patch_call_output",
}
