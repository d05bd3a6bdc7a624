"""Anthropic's built-in tools that the client runs, as functions: a shell, a text editor, a memory of files.

Their schemas are known to Anthropic's models, so that clients send a type and a name alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvproxy.core import Tool

_TEXT: Mapping[str, Any] = {"type": "string"}
_LINE: Mapping[str, Any] = {"type": "integer"}
_RANGE: Mapping[str, Any] = {
    "type": "array",
    "items": _LINE,
    "description": "First and last line, from 1; -1: to the end.",
}


def builtin_tool(type: str, name: str | None, strict: bool) -> Tool | None:
    """Return the function that stands for a built-in tool; None for a hosted or unknown type.

    ``name``: the client's own name for it; each type has a default name. Example: ``builtin_tool("bash_20250124", None,
    False).name == "bash"``.
    """
    family = next((family for family in _FAMILIES if type.startswith(family)), None)
    if family is None:
        return None
    description, schema = _definition(family, type)
    return Tool(name or _NAMES.get(type, family.rstrip("_")), description, schema, strict)


def _definition(family: str, type: str) -> tuple[str, Mapping[str, Any]]:
    description, schema = _FAMILIES[family]
    if type in _UNDOING:
        commands = [*schema["properties"]["command"]["enum"], "undo_edit"]
        properties = {**schema["properties"], "command": {"type": "string", "enum": commands}}
        return description, {**schema, "properties": properties}
    return description, schema


def _commands(names: str, **properties: Any) -> Mapping[str, Any]:
    command = {"type": "string", "enum": names.split()}
    return {"type": "object", "properties": {"command": command, **properties}, "required": ["command"]}


_FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "bash_": (
        "Runs a command in a bash session that stays open between calls.",
        {
            "type": "object",
            "properties": {
                "command": {**_TEXT, "description": "Needed unless the session is restarted."},
                "restart": {"type": "boolean", "description": "Start the session anew."},
            },
        },
    ),
    "text_editor_": (
        "Views and edits files: `view` a file or a folder, `create` a file, replace a text that occurs once, "
        "`insert` behind a line.",
        _commands(
            "view create str_replace insert",
            path=_TEXT,
            file_text={**_TEXT, "description": "Of create: the whole file."},
            old_str={**_TEXT, "description": "Of str_replace."},
            new_str={**_TEXT, "description": "Of str_replace and, in older versions, insert."},
            insert_line={**_LINE, "description": "Of insert; 0: at the beginning."},
            insert_text={**_TEXT, "description": "Of insert."},
            view_range=_RANGE,
        ),
    ),
    "memory_": (
        "Keeps notes as files under /memories, which outlive this conversation. Look there before you begin.",
        _commands(
            "view create str_replace insert delete rename",
            path=_TEXT,
            file_text={**_TEXT, "description": "Of create: the whole file."},
            old_str={**_TEXT, "description": "Of str_replace."},
            new_str={**_TEXT, "description": "Of str_replace."},
            insert_line={**_LINE, "description": "Of insert; 0: at the beginning."},
            insert_text={**_TEXT, "description": "Of insert."},
            old_path={**_TEXT, "description": "Of rename."},
            new_path={**_TEXT, "description": "Of rename."},
            view_range=_RANGE,
        ),
    ),
}
_UNDOING = frozenset({"text_editor_20241022", "text_editor_20250124"})
_NAMES: Mapping[str, str] = {
    "text_editor_20241022": "str_replace_editor",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
}
