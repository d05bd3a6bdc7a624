"""Hints never fail a request: every door, every hint of the table, values of any shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai.types.responses import Response as Published

from kvproxy.wire.anthropic.parse_messages import parse_count, parse_messages
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.completions.parse_completion import parse_completions
from kvproxy.wire.fields.chat_fields import CHAT
from kvproxy.wire.fields.completion_fields import COMPLETIONS
from kvproxy.wire.fields.field import Field, Sort
from kvproxy.wire.fields.message_fields import MESSAGES
from kvproxy.wire.fields.response_fields import RESPONSES
from tests.wire.fields.test_fields import body_with
from tests.wire.responses.test_parse_response import opened_by

VALUES: list[Any] = [
    None, True, 0, -1.5, "", "a word", "x" * 1000, [], [1, "a", None], {}, {"type": "new"}, {"a": {"b": [1]}},
    {f"k{i}": i for i in range(40)},
]  # fmt: skip


def chat(**fields: Any) -> None:
    parse_chat({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}, served_name="m")


def completion(**fields: Any) -> None:
    parse_completions({"model": "m", "prompt": "x", **fields}, served_name="m")


def response(**fields: Any) -> None:
    Published.model_validate(opened_by(**fields), strict=True)


def message(**fields: Any) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], **fields}
    parse_messages(body)
    parse_count(body)


DOORS: list[tuple[Callable[..., None], tuple[Field, ...]]] = [
    (chat, CHAT),
    (completion, COMPLETIONS),
    (response, RESPONSES),
    (message, MESSAGES),
]
HINTS = [
    (door, row.path) for door, rows in DOORS for row in rows if row.sort is Sort.HINT and "[" not in row.path
]
NEEDED = {"thinking": {"type": "enabled"}}
"""The fields that a field inside of these stands beside."""


@pytest.mark.parametrize(("door", "path"), HINTS, ids=[f"{door.__name__} {path}" for door, path in HINTS])
def test_a_hint_of_any_shape_passes(door: Callable[..., None], path: str) -> None:
    for value in VALUES:
        fields = body_with(path, value)
        for name, beside in NEEDED.items():
            if name in fields:
                fields[name] = beside | fields[name]
        door(**fields)


def test_hints_inside_of_tools_and_messages_pass() -> None:
    for value in VALUES:
        mark = {"type": "text", "text": "x", "cache_control": value, "prompt_cache_breakpoint": value}
        odd = {name: value for name in ("allowed_callers", "defer_loading", "eager_input_streaming", "input_examples",
                                        "cache_control")}  # fmt: skip
        parameters = {"type": "object", "properties": {}}
        chat(messages=[{"role": "user", "content": [mark], "cache_control": value}],
             tools=[{"type": "function", "function": {"name": "f"}, **odd}])  # fmt: skip
        response(input=[{"role": "user", "content": [{**mark, "type": "input_text"}], "phase": value}],
                 tools=[{"type": "function", "name": "f", "parameters": parameters, **odd}])  # fmt: skip
        message(messages=[{"role": "user", "content": [mark]}], cache_control=value,
                system=[{"type": "text", "text": "x", "cache_control": value}],
                tools=[{"name": "f", "input_schema": parameters, **odd}])  # fmt: skip
