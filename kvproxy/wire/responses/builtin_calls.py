"""OpenAI's built-in tools that the client runs: ``local_shell``, ``shell``, ``apply_patch`` and ``tool_search``.

The model is offered each as a function; its calls are written, and come back, as the built-in's own items.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kvproxy.core import Tool, ToolForm
from kvproxy.wire.responses.call_types import (
    ApplyPatchCall,
    LocalShellCall,
    PatchOperation,
    ShellCall,
    ToolSearchCall,
)

BUILTINS: Mapping[str, ToolForm] = {
    "local_shell": "local_shell",
    "shell": "shell",
    "apply_patch": "apply_patch",
    "tool_search": "tool_search",
}
"""The name of the function that stands for each type."""


WHOLE = frozenset(f"{type}_call" for type in BUILTINS)
"""Types of items that are sent only when they are whole."""


def builtin_tool(type: str, environment: object = None) -> Tool | None:
    """Return the function for a built-in; None for another type, and for a shell that OpenAI's servers run."""
    hosted = type == "shell" and isinstance(environment, dict) and environment.get("type") != "local"
    if type not in _TOOLS or hosted:
        return None
    return _TOOLS[type]


def builtin_item(form: ToolForm, id: str, call_id: str, arguments: str) -> BuiltinCall | None:
    """Return the item for a call; None where its arguments are not valid for the client.

    Example: ``builtin_item("shell", "sh_1", "call_1", '{"commands": ["ls"]}')["type"] == "shell_call"``.
    """
    value = _parsed(arguments)
    match form:
        case "local_shell" if _texts(value.get("command")):
            return _local_shell(id, call_id, value)
        case "shell" if _texts(value.get("commands")):
            return {
                "type": "shell_call",
                "id": id,
                "call_id": call_id,
                "status": "completed",
                "action": {
                    "commands": value["commands"],
                    "timeout_ms": _count(value.get("timeout_ms")),
                    "max_output_length": _count(value.get("max_output_length")),
                },
                "environment": {"type": "local"},
            }
        case "apply_patch" if (operation := _operation(value)) is not None:
            return {
                "type": "apply_patch_call", "id": id, "call_id": call_id, "status": "completed",
                "operation": operation,
            }  # fmt: skip
        case "tool_search" if value:
            return {
                "type": "tool_search_call",
                "id": id,
                "call_id": call_id,
                "execution": "client",
                "arguments": dict(value),
                "status": "completed",
            }
    return None


def builtin_arguments(item: BuiltinCall) -> str:
    """Return the call's arguments as the model wrote them, as far as the item keeps them."""
    arguments: Mapping[str, Any]
    if item["type"] == "tool_search_call":
        arguments = item["arguments"]
    elif item["type"] == "apply_patch_call":
        arguments = item["operation"]
    else:
        arguments = {
            key: value for key, value in item["action"].items() if value not in (None, {}) and key != "type"
        }
    return json.dumps(arguments, ensure_ascii=False)


BuiltinCall = LocalShellCall | ShellCall | ApplyPatchCall | ToolSearchCall
"""The items that this module makes of calls."""


def _local_shell(id: str, call_id: str, value: Mapping[str, Any]) -> LocalShellCall:
    env = value.get("env")
    return {
        "type": "local_shell_call",
        "id": id,
        "call_id": call_id,
        "status": "completed",
        "action": {
            "type": "exec",
            "command": value["command"],
            "env": {k: v for k, v in env.items() if isinstance(v, str)} if isinstance(env, dict) else {},
            "timeout_ms": _count(value.get("timeout_ms")),
            "user": _text(value.get("user")),
            "working_directory": _text(value.get("working_directory")),
        },
    }


def _operation(value: Mapping[str, Any]) -> PatchOperation | None:
    kind, path, diff = value.get("type"), value.get("path"), value.get("diff")
    if not isinstance(path, str):
        return None
    if kind == "delete_file":
        return {"type": "delete_file", "path": path}
    if kind not in ("create_file", "update_file") or not isinstance(diff, str):
        return None
    return {"type": kind, "path": path, "diff": diff}


def _parsed(arguments: str) -> Mapping[str, Any]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXTS: Mapping[str, Any] = {"type": "array", "items": _TEXT, "minItems": 1}
_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}

_TOOLS: Mapping[str, Tool] = {
    "local_shell": Tool(
        "local_shell",
        "Runs one command on the user's machine and returns its output.",
        _object(
            ("command",),
            command={**_TEXTS, "description": "The program and its arguments."},
            working_directory=_TEXT,
            timeout_ms=_COUNT,
        ),
        strict=True,
        assumed=True,
        form="local_shell",
    ),
    "shell": Tool(
        "shell",
        "Runs shell commands on the user's machine and returns their output.",
        _object(("commands",), commands=_TEXTS, timeout_ms=_COUNT, max_output_length=_COUNT),
        strict=True,
        assumed=True,
        form="shell",
    ),
    "apply_patch": Tool(
        "apply_patch",
        "Creates, updates or deletes one file. `diff` is a unified diff without file headers: all lines of a new file, "
        "or the changed places of an existing one; deleting needs none.",
        _object(
            ("type", "path"),
            type={"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            path=_TEXT,
            diff=_TEXT,
        ),
        strict=True,
        assumed=True,
        form="apply_patch",
    ),
}
