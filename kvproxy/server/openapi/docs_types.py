"""Render JSON schemas as HTML: types, tables of fields, paragraphs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

_Json = Mapping[str, Any]

_LIMITS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} names"),
    ("pattern", "like {}"),
)


def type_html(schema: _Json) -> str:
    """Return a type in a few words, with links to the named types in it."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#type-{slug(name)}">{escape(name)}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(type_html(x) for x in schema[key]))
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return " or ".join(map(_value, schema["enum"]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"array of {_plural(type_html(schema.get('items', {})))}{_limits(schema)}"
    if kind == "object" and isinstance(of := schema.get("additionalProperties"), Mapping):
        return f"object of {_plural(type_html(of))}{_limits(schema)}"
    return escape(kind) + _limits(schema)


def fields_table(schema: _Json) -> str:
    """Return a table with a row for each property, required ones first."""
    required = schema.get("required", [])
    rows = []
    for name, field in sorted(schema["properties"].items(), key=lambda x: x[0] not in required):
        mark = ' <span class="required">required</span>' if name in required else ""
        default = field.get("default")
        said = [prose(field["description"], inline=True)] if field.get("description") else []
        said += [f"Default: {_value(default)}."] if default not in (None, [], {}) else []
        told = f"<div>{' '.join(said)}</div>" if said else ""
        rows.append(
            f'<tr><th scope="row"><code>{escape(name)}</code>{mark}</th>'
            f'<td><span class="kind">{type_html(field)}</span>{told}</td></tr>'
        )
    return f'<div class="scroll"><table><tbody>{"".join(rows)}</tbody></table></div>'


def prose(text: str, *, inline: bool = False) -> str:
    """Return text as paragraphs, with backticks as code."""
    marked = re.sub("`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))
    if inline or not text:
        return marked
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n"))


def slug(name: str) -> str:
    """Return a name as an HTML id."""
    return re.sub("[^A-Za-z0-9]+", "-", name)


def _limits(schema: _Json) -> str:
    told = [words.format(_limit(key, schema[key])) for key, words in _LIMITS if key in schema]
    told = ["not empty" if x in ("at least 1 characters", "at least 1 items") else x for x in told]
    return f", {', '.join(told)}" if told else ""


def _limit(key: str, value: object) -> str:
    return _value(value) if key == "pattern" else escape(str(value))


def _value(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"<code>{escape(text)}</code>"


def _plural(kind: str) -> str:
    return (
        f"{kind}s"
        if kind in ("string", "integer", "number", "boolean", "object")
        else f"({kind})"
        if " or " in kind
        else kind
    )
