"""Small answers that follow grammars."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kvproxy.core import Constraint, Tool, ToolChoice
from kvproxy.core.answer_format import JsonFormat
from kvproxy.fake_replica.replica_text import ModelText
from kvproxy.fake_replica.vllm_errors import VllmError
from kvproxy.wire.answer_formats.answer_grammar import grammar_of

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3},
        "age": {"type": "integer", "minimum": 12},
        "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2},
        "pair": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]},
    },
    "required": ["name", "age", "tags", "pair"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def text(smollm2: Path) -> ModelText:
    return ModelText.load(smollm2)


def test_an_answer_to_a_schema_fits_it(text: ModelText) -> None:
    answer = text.decode(text.structured({"json": SCHEMA}))
    jsonschema.validate(json.loads(answer), SCHEMA)


@pytest.mark.parametrize("pattern", [r"\d{3}-[a-f]+", r"(yes|no)!", r"[A-Z][a-z]{4,9}\."])
def test_an_answer_to_a_pattern_matches_it(text: ModelText, pattern: str) -> None:
    assert re.fullmatch(pattern, text.decode(text.structured({"regex": pattern})))


def test_the_proxys_own_grammars_are_followed(text: ModelText) -> None:
    weather = Tool(
        "weather", "", {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
    )
    forced = Constraint(tools=(weather,), choice=ToolChoice("required"))
    call = text.decode(text.structured({"grammar": grammar_of(forced).text}), skip_special=False)
    found = re.fullmatch(r"\s*<tool_call>\s*(.*?)\s*</tool_call>\s*", call, re.DOTALL)
    assert found is not None, call
    assert json.loads(found[1])["name"] == "weather"
    thought = Constraint(format=JsonFormat(SCHEMA), reasoning="open")
    answer = text.decode(text.structured({"grammar": grammar_of(thought).text}), skip_special=False)
    jsonschema.validate(json.loads(answer.partition("</think>")[2]), SCHEMA)


def test_a_choice_and_an_object(text: ModelText) -> None:
    assert text.decode(text.structured({"choice": ["no", "yes"]})) in ("no", "yes")
    assert json.loads(text.decode(text.structured({"json_object": True}))) == {}


@pytest.mark.parametrize("wanted", [{"grammar": "start: ("}, {"structural_tag": "{}"}, {"json": "nope"}])
def test_what_cannot_be_followed_is_a_400_that_names_the_field(
    text: ModelText, wanted: dict[str, Any]
) -> None:
    with pytest.raises(VllmError) as refused:
        text.structured(wanted)
    assert refused.value.error.status == 400
    assert refused.value.error.param == "structured_outputs"
