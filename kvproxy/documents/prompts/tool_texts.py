"""`ToolTexts`: tools in one canonical form, so that the order and white space of a client's JSON cost no hit."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Tool
from kvproxy.documents.tokens.escape import Escape, check_unicode
from kvproxy.errors import InvalidRequest

NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}

_FIRST = (
    *("type", "title", "description", "enum", "const", "format", "pattern", "properties", "required"),
    *("additionalProperties", "items", "prefixItems", "anyOf", "oneOf", "allOf", "not"),
)
"""The conventional order of a schema's keywords; all others follow by name, definitions last."""
_LAST = ("definitions", "$defs")
_RANK = {name: i for i, name in enumerate(_FIRST)} | {name: 1000 + i for i, name in enumerate(_LAST)}
_MEANINGLESS = frozenset({"$schema", "$id", "$comment", "strict"})
"""Keywords without meaning for a model."""
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas", "definitions", "$defs"})
"""Keywords that hold schemas by name; every name counts there, also one that is a keyword."""
_VALUES = frozenset({"enum", "const", "default", "examples"})
"""Keywords that hold data."""

# The words of Qwen3 and Hermes. The marks of a call are the model's own where its tokenizer has them.
_HEAD = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
)
_FOOT = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{"name": <function-name>, "arguments": '
    "<args-json-object>}\n</tool_call>"
)


def canonical_tools(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """Return tools in OpenAI's form, by name, without ``strict``. Equal tools give equal JSON text in any order."""
    return [_canonical_tool(tool) for tool in sorted(tools, key=lambda tool: tool.name)]


def canonical_schema(schema: Any) -> Any:
    """Return a JSON schema with its keys in one order and ``required`` by name. Lists keep their order otherwise."""
    if not isinstance(schema, Mapping):
        return schema
    keys = sorted(schema.keys() - _MEANINGLESS, key=lambda key: (_RANK.get(key, 100), key))
    return {key: _canonical_keyword(key, schema[key]) for key in keys}


@dataclass(frozen=True, slots=True)
class RenderedTools:
    """Canonical and escaped tools: as values for the template, and as a block of text for a system message."""

    values: tuple[dict[str, Any], ...]
    block: str


class ToolTexts:
    """Renders tools for one model, and remembers the latest ones of each scope: agents send the same tools with every
    request.

    No scope finds another one's: the time that a prompt takes must not show which tools other tenants use. Safe in
    any thread.
    """

    ENTRIES = 64
    CHARACTERS = 1 << 16
    """Larger sets of tools are not remembered."""

    def __init__(self, escape: Escape) -> None:
        self._escape = escape
        self._memo: OrderedDict[tuple[str, str], RenderedTools] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tools: Sequence[Tool], scope: str | None) -> RenderedTools:
        """Return the rendered tools of a scope; None remembers nothing.

        Raises InvalidRequest for schemas nested too deeply, and for text that is no Unicode.
        """
        try:
            if scope is None:
                return self._render(tools)
            key = (scope, json.dumps([(tool.name, tool.description, tool.parameters) for tool in tools]))
            with self._lock:
                if key in self._memo:
                    self._memo.move_to_end(key)
                    return self._memo[key]
            rendered = self._render(tools)
        except RecursionError as e:
            raise InvalidRequest("tools is nested too deeply", param="tools") from e
        if len(key[1]) <= self.CHARACTERS:
            with self._lock:
                self._memo[key] = rendered
                if len(self._memo) > self.ENTRIES:
                    self._memo.popitem(last=False)
        return rendered

    def _render(self, tools: Sequence[Tool]) -> RenderedTools:
        canonical = canonical_tools(tools)
        lines = (check_unicode(json.dumps(tool, ensure_ascii=False), "tools") for tool in canonical)
        block = _HEAD + "\n".join(self._escape.text(line) for line in lines) + _FOOT
        return RenderedTools(tuple(self._escape.value(canonical, "tools")), block)


def _canonical_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = canonical_schema(tool.parameters or NO_PARAMETERS)
    return {"type": "function", "function": function}


def _canonical_keyword(key: str, value: Any) -> Any:
    if key in _VALUES:
        return _sorted_value(value)
    if key in _BY_NAME and isinstance(value, Mapping):
        return {name: canonical_schema(value[name]) for name in sorted(value)}
    if key == "required" and isinstance(value, list) and all(isinstance(name, str) for name in value):
        return sorted(value)
    if isinstance(value, list):
        return [canonical_schema(item) for item in value]
    return canonical_schema(value)


def _sorted_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted_value(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted_value(item) for item in value]
    return value
