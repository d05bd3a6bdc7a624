"""Readers of single values of answer formats: a schema that may be a string, a regex, choices, a grammar."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kvproxy.core.answer_format import (
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    Syntax,
    TaggedJson,
    TagsFormat,
)
from kvproxy.errors import InvalidRequest, UnsupportedParameter

MOST_CHOICES = 10_000


def json_format(value: object, param: str, *, strict: bool = True) -> JsonFormat:
    """Read a JSON schema, or its text. Raises InvalidRequest naming ``param``.

    Example: ``json_format('{"type": "object"}', "guided_json").schema == {"type": "object"}``.
    """
    return JsonFormat(schema_of(value, param), strict=strict, param=param)


def schema_of(value: object, param: str) -> Mapping[str, Any]:
    """Return a JSON schema from an object or from its text. Raises InvalidRequest."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as e:
            raise InvalidRequest(f"Invalid '{param}': its text is not JSON.", param=param) from e
    if not isinstance(value, dict):
        raise InvalidRequest(f"Invalid '{param}': must be a JSON schema, an object.", param=param)
    return value


def regex_format(value: object, param: str) -> RegexFormat:
    """Read a regular expression for the whole answer. Raises InvalidRequest."""
    return RegexFormat(_text(value, param), param)


def choice_format(value: object, param: str) -> ChoiceFormat:
    """Read a list of texts of which the answer is one. Raises InvalidRequest."""
    if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
        raise InvalidRequest(f"Invalid '{param}': must be an array of strings, not empty.", param=param)
    if len(value) > MOST_CHOICES:
        raise InvalidRequest(f"Invalid '{param}': at most {MOST_CHOICES} choices.", param=param)
    return ChoiceFormat(tuple(dict.fromkeys(value)), param)


def grammar_format(value: object, param: str) -> GrammarFormat:
    """Read a grammar: GBNF where it has ``::=``, else Lark. Raises InvalidRequest."""
    text = _text(value, param)
    syntax: Syntax = "gbnf" if "::=" in text else "lark"
    return GrammarFormat(text, syntax, param)


def tags_format(value: object, param: str) -> TagsFormat:
    """Read vLLM's and SGLang's ``{"structures": [{"begin", "schema", "end"}], "triggers": […]}``, or its text.

    Raises InvalidRequest, UnsupportedParameter for xgrammar's newer form.
    """
    value = schema_of(value, param)
    if "format" in value:
        raise UnsupportedParameter(
            f"Unsupported parameter: '{param}.format' is not supported by the local model. "
            "Use 'structures' and 'triggers', or a JSON schema, a regex or a grammar.",
            param=f"{param}.format",
        )
    structures, triggers = value.get("structures"), value.get("triggers")
    if not isinstance(structures, list) or not structures or not all(isinstance(s, dict) for s in structures):
        raise InvalidRequest(
            f"Invalid '{param}.structures': must be an array of objects.", param=f"{param}.structures"
        )
    if not isinstance(triggers, list) or not triggers or not all(isinstance(t, str) and t for t in triggers):
        raise InvalidRequest(
            f"Invalid '{param}.triggers': must be an array of strings.", param=f"{param}.triggers"
        )
    read = tuple(_structure(s, f"{param}.structures[{i}]") for i, s in enumerate(structures))
    for one in read:
        if not any(one.begin.startswith(trigger) for trigger in triggers):
            raise InvalidRequest(
                f"Invalid '{param}.triggers': each structure has to begin with one of them.",
                param=f"{param}.triggers",
            )
    used = tuple(t for t in triggers if any(one.begin.startswith(t) for one in read))
    if any(a != b and b in a for a in used for b in used):
        raise InvalidRequest(
            f"Invalid '{param}.triggers': one of them is part of another.", param=f"{param}.triggers"
        )
    return TagsFormat(read, used, param)


def _structure(value: Mapping[str, Any], param: str) -> TaggedJson:
    begin, end = value.get("begin"), value.get("end", "")
    if not isinstance(begin, str) or not begin or not isinstance(end, str):
        raise InvalidRequest(f"Invalid '{param}': needs 'begin' and 'end', texts.", param=param)
    return TaggedJson(begin, schema_of(value.get("schema", {}), f"{param}.schema"), end)


def _text(value: object, param: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"Invalid '{param}': must be a string, not empty.", param=param)
    return value
