"""The same fields on every door: each is read, and none is ever passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kvproxy.core.answer_format import (
    AnswerFormat,
    ChoiceFormat,
    GrammarFormat,
    JsonFormat,
    RegexFormat,
    TaggedJson,
    TagsFormat,
)
from kvproxy.errors import InvalidRequest, UnsupportedParameter
from kvproxy.wire.answer_formats.engine_fields import ENFORCED_FIELDS, EngineFormatsBody
from kvproxy.wire.anthropic.parse_messages import parse_messages
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.completions.parse_completion import parse_completions
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds

HELLO = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
GBNF = 'root ::= "a" | "b"'
TAGS = {"structures": [{"begin": "<a>", "schema": SCHEMA, "end": "</a>"}], "triggers": ["<a"]}

Door = Callable[[dict[str, Any]], AnswerFormat | None]


def chat(fields: dict[str, Any]) -> AnswerFormat | None:
    return parse_chat({"model": "m", "messages": HELLO, **fields}, served_name="m").response_format


def completions(fields: dict[str, Any]) -> AnswerFormat | None:
    return (
        parse_completions({"model": "m", "prompt": "Hi", **fields}, served_name="m")
        .prompts[0]
        .response_format
    )


def responses(fields: dict[str, Any]) -> AnswerFormat | None:
    body = parse_body({"model": "m", "input": "Hi", **fields})
    reading = RequestReading()
    items = normal_items(body.input or (), ResponseIds("a" * 32), {}, reading)
    return to_chat(body, items, served_name="m", reading=reading).response_format


def messages(fields: dict[str, Any]) -> AnswerFormat | None:
    return parse_messages({"model": "m", "max_tokens": 5, "messages": HELLO, **fields}).response_format


@pytest.fixture(params=[chat, completions, responses, messages], ids=lambda door: str(door.__name__))
def door(request: pytest.FixtureRequest) -> Door:
    found: Door = request.param
    return found


FORMS: list[tuple[dict[str, Any], AnswerFormat]] = [
    ({"response_format": {"type": "json_object"}}, JsonFormat()),
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, JsonFormat(SCHEMA, strict=False)),
    ({"response_format": {"type": "json_object", "schema": {}}}, JsonFormat()),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, JsonFormat(SCHEMA, strict=False)),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA, "strict": True}}, JsonFormat(SCHEMA)),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        JsonFormat(SCHEMA, strict=False),
    ),
    (
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            }
        },
        JsonFormat(SCHEMA),
    ),
    ({"response_format": {"type": "json", "value": SCHEMA}}, JsonFormat(SCHEMA, strict=False)),
    ({"response_format": {"type": "grammar", "grammar": GBNF}}, GrammarFormat(GBNF, "gbnf")),
    ({"response_format": {"type": "regex", "regex": "a+"}}, RegexFormat("a+")),
    ({"response_format": {"type": "regex", "pattern": "a+"}}, RegexFormat("a+")),
    ({"response_format": {"type": "regex", "value": "a+"}}, RegexFormat("a+")),
    (
        {"response_format": {"type": "structural_tag", **TAGS}},
        TagsFormat((TaggedJson("<a>", SCHEMA, "</a>"),), ("<a",)),
    ),
    ({"structured_outputs": {"json": SCHEMA}}, JsonFormat(SCHEMA)),
    ({"structured_outputs": {"json": json.dumps(SCHEMA), "regex": None}}, JsonFormat(SCHEMA)),
    (
        {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": True, "_backend": "x"}},
        JsonFormat(SCHEMA),
    ),
    (
        {"structured_outputs": {"json": SCHEMA, "disable_additional_properties": True}},
        JsonFormat({**SCHEMA, "additionalProperties": False}),
    ),
    ({"structured_outputs": {"json_object": True, "whitespace_pattern": "[ ]?"}}, JsonFormat()),
    ({"structured_outputs": {"regex": "a+"}}, RegexFormat("a+")),
    ({"structured_outputs": {"choice": ["a", "b", "a"]}}, ChoiceFormat(("a", "b"))),
    ({"structured_outputs": {"grammar": "start: /a+/"}}, GrammarFormat("start: /a+/", "lark")),
    (
        {"structured_outputs": {"structural_tag": json.dumps(TAGS)}},
        TagsFormat((TaggedJson("<a>", SCHEMA, "</a>"),), ("<a",)),
    ),
    ({"guided_json": SCHEMA, "guided_decoding_backend": "xgrammar"}, JsonFormat(SCHEMA)),
    ({"guided_json": json.dumps(SCHEMA)}, JsonFormat(SCHEMA)),
    ({"guided_regex": "a+"}, RegexFormat("a+")),
    ({"guided_choice": ["a", "b"]}, ChoiceFormat(("a", "b"))),
    ({"guided_grammar": GBNF}, GrammarFormat(GBNF, "gbnf")),
    ({"guided_json_object": True}, JsonFormat()),
    ({"json_schema": SCHEMA}, JsonFormat(SCHEMA)),
    ({"json_schema": json.dumps(SCHEMA)}, JsonFormat(SCHEMA)),
    ({"regex": "a+"}, RegexFormat("a+")),
    ({"ebnf": GBNF}, GrammarFormat(GBNF, "gbnf")),
    ({"grammar": GBNF}, GrammarFormat(GBNF, "gbnf")),
    ({"grammar": {"type": "json", "value": SCHEMA}}, JsonFormat(SCHEMA)),
    ({"grammar": {"type": "regex", "value": "a+"}}, RegexFormat("a+")),
    ({"structural_tag": json.dumps(TAGS)}, TagsFormat((TaggedJson("<a>", SCHEMA, "</a>"),), ("<a",))),
    # The same thing asked twice is asked once.
    ({"guided_regex": "a+", "regex": "a+"}, RegexFormat("a+")),
]


@pytest.mark.parametrize(
    ("fields", "wanted"), FORMS, ids=lambda v: json.dumps(v)[:60] if isinstance(v, dict) else ""
)
def test_every_form_is_read_on_every_door(door: Door, fields: dict[str, Any], wanted: AnswerFormat) -> None:
    assert door(fields) == wanted


def test_every_field_that_is_enforced_stands_in_the_forms() -> None:
    assert {name for fields, _ in FORMS for name in fields} >= ENFORCED_FIELDS
    assert ENFORCED_FIELDS < EngineFormatsBody.model_fields.keys()


@pytest.mark.parametrize("name", [*sorted(ENFORCED_FIELDS), "response_format", "guided_decoding_backend"])
@pytest.mark.parametrize("nothing", [None])
def test_nothing_asks_for_nothing(door: Door, name: str, nothing: object) -> None:
    assert door({name: nothing}) is None


def test_empty_values_ask_for_nothing(door: Door) -> None:
    assert (
        door({"response_format": {"type": "text"}, "structured_outputs": {}, "guided_json_object": False})
        is None
    )
    assert door({"grammar": "", "json_schema": "", "guided_choice": [], "regex": ""}) is None


@pytest.mark.parametrize(
    ("fields", "param", "other"),
    [
        (
            {"response_format": {"type": "json_object"}, "guided_regex": "a"},
            "guided_regex",
            "response_format",
        ),
        ({"guided_choice": ["a"], "guided_regex": "a"}, "guided_choice", "guided_regex"),
        ({"grammar": GBNF, "json_schema": SCHEMA}, "grammar", "json_schema"),
        (
            {"structured_outputs": {"regex": "a", "choice": ["a"]}},
            "structured_outputs",
            "'regex' and 'choice'",
        ),
        (
            {"response_format": {"type": "regex", "regex": "a", "pattern": "b"}},
            "response_format.pattern",
            "'regex' and 'pattern'",
        ),
        ({"response_format": {"type": "text", "schema": SCHEMA}}, "response_format.schema", "'text'"),
        (
            {"response_format": {"type": "json_object", "json_schema": {"name": "n", "schema": SCHEMA}}},
            "response_format.json_schema",
            "'json_object'",
        ),
    ],
)
def test_two_constraints_are_a_refusal_that_names_both(
    door: Door, fields: dict[str, Any], param: str, other: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        door(fields)
    message = caught.value.message
    assert param.split(".")[0] in message and other in message
    assert caught.value.param is not None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {"jsonn": SCHEMA}}, "structured_outputs.jsonn"),
        (
            {"structured_outputs": {"json": SCHEMA, "whitespace_pattern": "\\n"}},
            "structured_outputs.whitespace_pattern",
        ),
        ({"guided_whitespace_pattern": ""}, "guided_whitespace_pattern"),
        ({"structural_tag": {"format": {"type": "json_schema"}}}, "structural_tag.format"),
        ({"grammar": {"type": "choice", "value": 1}}, "grammar.type"),
        ({"grammar": GBNF, "grammar_lazy": True}, "grammar_lazy"),
        ({"response_format": {"type": "json_object", "schema": {"type": "array"}}}, "response_format.schema"),
    ],
)
def test_an_unsupported_constraint_is_named(door: Door, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        door(fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": "json"}, "structured_outputs"),
        ({"guided_json": "{"}, "guided_json"),
        ({"json_schema": "[]"}, "json_schema"),
        ({"guided_choice": [1]}, "guided_choice"),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice"),
        ({"regex": 5}, "regex"),
        ({"response_format": {"type": "grammar"}}, "response_format.grammar"),
        ({"response_format": {"type": "regex"}}, "response_format.regex"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.structures"),
        ({"structural_tag": {**TAGS, "triggers": ["<b"]}}, "structural_tag.triggers"),
        ({"structural_tag": {**TAGS, "triggers": ["<", "<a"]}}, "structural_tag.triggers"),
    ],
)
def test_a_malformed_constraint_is_named(door: Door, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        door(fields)
    assert caught.value.param == param


def test_anthropics_two_places_and_openais_are_one_constraint() -> None:
    inner = {"type": "json_schema", "schema": SCHEMA}
    assert messages({"output_config": {"format": inner}, "output_format": inner}) == JsonFormat(SCHEMA)
    with pytest.raises(InvalidRequest, match=r"output_config\.format") as caught:
        messages({"output_config": {"format": inner}, "output_format": {**inner, "schema": {}}})
    assert caught.value.param == "output_format"
    with pytest.raises(InvalidRequest, match="output_format"):
        messages({"output_format": inner, "guided_regex": "a"})


def test_the_responses_own_field_and_chats_are_one_constraint() -> None:
    with pytest.raises(InvalidRequest, match=r"text\.format") as caught:
        responses(
            {"text": {"format": {"type": "json_object"}}, "response_format": {"type": "regex", "regex": "a"}}
        )
    assert caught.value.param == "response_format"
    with pytest.raises(InvalidRequest, match=r"text\.format"):
        responses({"text": {"format": {"type": "json_object"}}, "regex": "a"})


def test_a_warming_request_has_no_answer_to_shape() -> None:
    for name in sorted(ENFORCED_FIELDS):
        with pytest.raises(InvalidRequest) as caught:
            messages({"max_tokens": 0, name: {"x": 1}})
        assert caught.value.param == name
