"""Each way to ask for an answer of a certain shape, once through HTTP on the real model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.reader import MODEL
from tests.e2e.served import Served

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HEADERS = {"Authorization": "Bearer key-of-tenant-number-119"}
ASKED = [{"role": "user", "content": "Is the sky blue? Answer in a word."}]
SKY: dict[str, Any] = {"sky": {"enum": ["blue", "grey"]}, "sure": {"type": "boolean"}}
SCHEMA = {"type": "object", "properties": SKY, "required": ["sky", "sure"], "additionalProperties": False}
UNIQUE = {**SCHEMA, "properties": {**SKY, "n": {"type": "array", "uniqueItems": True, "maxItems": 2}}}
GBNF = 'root ::= "sky: " word ("; " word)?\nword ::= "blue" | "grey"'
RECURSIVE = 'root ::= "(" root ")" | [0-9]'
TAGS = {"structures": [{"begin": "<a>", "schema": SCHEMA, "end": "</a>"}], "triggers": ["<a"]}


def in_json(text: str) -> bool:
    value = json.loads(text)
    return (
        value.keys() == {"sky", "sure"}
        and value["sky"] in ("blue", "grey")
        and value["sure"] in (True, False)
    )


def matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def is_object(text: str) -> bool:
    return isinstance(json.loads(text), dict)


def tagged(text: str) -> bool:
    return all(in_json(found.split("</a>")[0]) for found in re.split("<a>", text)[1:])


WORDS = matches("sky: (blue|grey)(; (blue|grey))?")
FORMS: list[tuple[dict[str, Any], Callable[[str], bool]]] = [
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, in_json),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, in_json),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}, in_json),
    ({"response_format": {"type": "grammar", "grammar": GBNF}}, WORDS),
    ({"response_format": {"type": "regex", "pattern": "^[a-c]{3}[0-9]$"}}, matches("[a-c]{3}[0-9]")),
    ({"response_format": {"type": "structural_tag", **TAGS}}, tagged),
    ({"structured_outputs": {"json": SCHEMA}}, in_json),
    ({"structured_outputs": {"regex": r"\d{2}/\d{2}"}}, matches("[0-9]{2}/[0-9]{2}")),
    ({"structured_outputs": {"choice": ["yes", "no way", "é\n\u2028"]}}, matches("yes|no way|é\n\u2028")),
    ({"structured_outputs": {"grammar": 'start: "a" word\nword: /[bc]{2}/'}}, matches("a[bc]{2}")),
    ({"guided_json": json.dumps(SCHEMA)}, in_json),
    ({"guided_regex": "(ab|cd)+x?"}, matches("(ab|cd)+x?")),
    ({"guided_choice": ["red", "redder"]}, matches("red|redder")),
    ({"guided_grammar": GBNF}, WORDS),
    ({"json_schema": SCHEMA}, in_json),
    ({"grammar": RECURSIVE}, lambda text: text.count("(") == text.count(")") and text.strip("()").isdigit()),
    ({"ebnf": GBNF}, WORDS),
    ({"regex": "[x-z]{4}"}, matches("[x-z]{4}")),
]


def chat(proxy: Served, fields: dict[str, Any]) -> httpx.Response:
    body = {"model": MODEL, "messages": ASKED, "max_tokens": 60, "temperature": 0, **fields}
    return httpx.post(f"{proxy.url}/v1/chat/completions", json=body, headers=HEADERS, timeout=120)


def completions(proxy: Served, fields: dict[str, Any]) -> httpx.Response:
    body = {"model": MODEL, "prompt": "The sky is", "max_tokens": 60, "temperature": 0, **fields}
    return httpx.post(f"{proxy.url}/v1/completions", json=body, headers=HEADERS, timeout=120)


def responses(proxy: Served, fields: dict[str, Any]) -> httpx.Response:
    body = {"model": MODEL, "input": ASKED, "max_output_tokens": 60, "temperature": 0, **fields}
    return httpx.post(f"{proxy.url}/v1/responses", json=body, headers=HEADERS, timeout=120)


def messages(proxy: Served, fields: dict[str, Any]) -> httpx.Response:
    body = {"model": MODEL, "messages": ASKED, "max_tokens": 60, "temperature": 0, **fields}
    return httpx.post(f"{proxy.url}/v1/messages", json=body, headers=HEADERS, timeout=120)


def said(answer: httpx.Response) -> tuple[str, str]:
    """The text, and whether it was cut."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if "choices" in body:
        choice = body["choices"][0]
        return choice.get("text") if "text" in choice else choice["message"]["content"], choice[
            "finish_reason"
        ]
    if "output" in body:
        parts = [part for item in body["output"] for part in item.get("content", ())]
        return parts[0]["text"], "stop" if body["status"] == "completed" else "length"
    return body["content"][0]["text"], {"end_turn": "stop", "max_tokens": "length"}[body["stop_reason"]]


DOORS = [(chat, form) for form in FORMS] + [
    (door, FORMS[i]) for door in (completions, responses, messages) for i in (0, 6, 8, 14, 15)
]


@pytest.mark.parametrize(
    ("door", "form"), DOORS, ids=lambda v: v.__name__ if callable(v) else json.dumps(v[0])[:50]
)
def test_the_answer_is_what_was_asked_for(
    proxy: Served,
    door: Callable[[Served, dict[str, Any]], httpx.Response],
    form: tuple[dict[str, Any], Callable[[str], bool]],
) -> None:
    fields, fits = form
    text, reason = said(door(proxy, fields))
    if reason == "length":
        assert text.startswith(("(", "ab", "cd")) or "structural_tag" in json.dumps(fields), text
        return
    assert fits(text), text


def test_each_of_several_choices_and_a_stream_are_held_to_it(proxy: Served) -> None:
    fields = {"guided_regex": "[ab]{5}", "n": 3, "temperature": 1.3, "seed": 1}
    answer = chat(proxy, fields)
    assert answer.status_code == 200
    texts = [choice["message"]["content"] for choice in answer.json()["choices"]]
    assert len(texts) == 3 and all(re.fullmatch("[ab]{5}", text) for text in texts)
    streamed = chat(proxy, {**fields, "stream": True, "n": 1})
    chunks = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert re.fullmatch("[ab]{5}", text)


def test_what_is_not_enforced_is_told(proxy: Served) -> None:
    wished = chat(
        proxy, {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": UNIQUE}}}
    )
    assert wished.status_code == 200
    assert wished.headers["x-kvproxy-left-out"] == '"response_format.json_schema.schema: uniqueItems"'
    assert json.loads(wished.json()["choices"][0]["message"]["content"])["sky"] in ("blue", "grey")
    strict = {"type": "json_schema", "json_schema": {"name": "n", "schema": UNIQUE, "strict": True}}
    refused = chat(proxy, {"response_format": strict})
    assert refused.status_code == 400 and "uniqueItems" in refused.json()["error"]["message"]
    anthropic = messages(proxy, {"output_config": {"format": {"type": "json_schema", "schema": UNIQUE}}})
    assert anthropic.status_code == 400 and "uniqueItems" in anthropic.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"guided_regex": "(?=a)a"}, "guided_regex"),
        ({"guided_regex": "("}, "guided_regex"),
        ({"grammar": "root ::= missing"}, "grammar"),
        ({"guided_grammar": "start: missing"}, "guided_grammar"),
        ({"guided_json": UNIQUE}, "guided_json"),
    ],
)
def test_what_cannot_be_enforced_is_a_400_that_names_the_field(
    proxy: Served, fields: dict[str, Any], param: str
) -> None:
    refused = chat(proxy, fields)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == param
    assert "\n" not in refused.json()["error"]["message"]
