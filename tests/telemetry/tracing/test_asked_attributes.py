"""Attributes of a request as each dialect names them; nothing that is text."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.telemetry.tracing.asked_attributes import asked_attributes


def test_settings_of_all_dialects() -> None:
    body = {"temperature": 0, "top_p": 0.5, "top_k": 40, "seed": 7, "n": 2, "max_tokens": 5, "stream": True}
    assert asked_attributes({**body, "frequency_penalty": 1, "presence_penalty": -1}) == {
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.top_k": 40.0,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.stream": True,
        "gen_ai.request.frequency_penalty": 1.0,
        "gen_ai.request.presence_penalty": -1.0,
    }


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_bound_of_an_answer_has_three_names(field: str) -> None:
    assert asked_attributes({field: 12}) == {"gen_ai.request.max_tokens": 12}


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"text": {"format": {"type": "json_object"}}}, "json"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "json"),
    ],
)
def test_the_type_of_the_answer(body: dict[str, Any], form: str) -> None:
    assert asked_attributes(body) == {"gen_ai.output.type": form}


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": "hot", "seed": "s", "max_tokens": True, "top_p": None, "n": 1, "stream": "yes"},
        {"seed": 2**64, "temperature": 10**400, "max_tokens": -(2**64)},
        {"response_format": {"type": {}}, "text": "format", "stop": ["Ann"], "user": "Ann", "model": "Ann"},
        {"response_format": {"type": "grammar"}, "messages": [{"role": "user", "content": "Ann"}]},
    ],
)
def test_what_is_no_setting_is_left_out(body: dict[str, Any]) -> None:
    assert asked_attributes(body) == {}
