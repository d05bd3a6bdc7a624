"""The table of request fields: complete, true to the parsers, and the source of docs/fields.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from kvproxy.errors import UnsupportedParameter
from kvproxy.wire.anthropic.message_body import MessagesBody
from kvproxy.wire.bodies.request_reading import ReadingPolicy, RequestReading
from kvproxy.wire.chat.chat_body import ChatBody
from kvproxy.wire.completions.parse_completion import CompletionBody
from kvproxy.wire.fields.chat_fields import CHAT
from kvproxy.wire.fields.completion_fields import COMPLETIONS
from kvproxy.wire.fields.field import Field, Sort, steps_of
from kvproxy.wire.fields.fields_page import ENDPOINTS, page
from kvproxy.wire.fields.message_fields import MESSAGES
from kvproxy.wire.fields.response_fields import RESPONSES
from kvproxy.wire.fields.screen import screen
from kvproxy.wire.responses.response_body import ResponsesBody
from tests.clients.spec.declared_fields import declared

PAGE = Path(__file__).parents[3] / "docs" / "fields.md"

OPENAI = {
    "openai.types.chat.completion_create_params:CompletionCreateParamsStreaming": CHAT,
    "openai.types.responses.response_create_params:ResponseCreateParamsStreaming": RESPONSES,
    "openai.types.completion_create_params:CompletionCreateParamsStreaming": COMPLETIONS,
}
BODIES: list[tuple[type[BaseModel], Sequence[Field]]] = [
    (ChatBody, CHAT),
    (ResponsesBody, RESPONSES),
    (CompletionBody, COMPLETIONS),
    (MessagesBody, MESSAGES),
]
ACTING = [(endpoint, row) for endpoint, fields in ENDPOINTS.items() for row in fields if row.acts]


def missing(paths: set[str], fields: Sequence[Field]) -> list[str]:
    return sorted(path for path in paths if not any(row.covers(path) for row in fields))


@pytest.mark.parametrize(("kind", "fields"), OPENAI.items(), ids=[name.split(":")[0] for name in OPENAI])
def test_every_field_that_the_sdk_declares_has_a_row(kind: str, fields: Sequence[Field]) -> None:
    paths = declared(kind)
    assert len(paths) > 15
    assert missing(paths, fields) == []


@pytest.mark.parametrize(("body", "fields"), BODIES, ids=[body.__name__ for body, _ in BODIES])
def test_every_field_that_a_parser_reads_has_a_row(body: type[BaseModel], fields: Sequence[Field]) -> None:
    names = {info.alias or name for name, info in body.model_fields.items()}
    assert missing(names, fields) == []


@pytest.mark.parametrize(("body", "fields"), BODIES, ids=[body.__name__ for body, _ in BODIES])
def test_every_enforced_field_is_read(body: type[BaseModel], fields: Sequence[Field]) -> None:
    names = {info.alias or name for name, info in body.model_fields.items()}
    enforced = {steps_of(row.path)[0].name for row in fields if row.sort is Sort.ENFORCED}
    assert enforced - names == set()


@pytest.mark.parametrize("fields", ENDPOINTS.values(), ids=ENDPOINTS)
def test_a_path_has_one_row(fields: Sequence[Field]) -> None:
    paths = [row.path for row in fields]
    assert sorted(set(paths)) == sorted(paths)


def body_with(path: str, value: Any) -> dict[str, Any]:
    """Return the smallest body in which ``value`` stands at ``path``."""
    found: Any = value
    for step in reversed(steps_of(path)):
        if step.items is not None:
            type = {"type": step.items.replace("*", "x")} if step.items else {}
            found = [type | found]
        found = {step.name: found}
    return dict(found)


@pytest.mark.parametrize(("endpoint", "row"), ACTING, ids=[f"{e} {row.path}" for e, row in ACTING])
def test_a_row_has_the_treatment_that_it_states(endpoint: str, row: Field) -> None:
    fields, reading = ENDPOINTS[endpoint], RequestReading()
    asked = body_with(row.path, row.example)
    assert row.example is not None
    if row.sort is Sort.WITHOUT:
        screen(asked, fields, reading)
        assert [item.param for item in reading.left_out] == [
            row.path.split("[")[0] + "[0]" * row.path.count("[")
        ]
    else:
        with pytest.raises(UnsupportedParameter) as caught:
            screen(asked, fields, reading)
        param = caught.value.param or ""
        assert param.replace("[0]", "") == ".".join(step.name for step in steps_of(row.path))
        assert f"'{param}'" in caught.value.message and row.says in caught.value.message
    if "[" not in row.path:
        screen(body_with(row.path, None), fields, unmoved := RequestReading())
        assert unmoved.left_out == []


@pytest.mark.parametrize(
    ("endpoint", "row"), [(e, r) for e, r in ACTING if r.hosted], ids=lambda x: str(x)[:40]
)
def test_hosted_ones_are_refused_where_the_policy_says_so(endpoint: str, row: Field) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        screen(
            body_with(row.path, row.example),
            ENDPOINTS[endpoint],
            RequestReading(ReadingPolicy(hosted_tools="refuse")),
        )
    assert caught.value.param == row.path


@pytest.mark.parametrize("fields", ENDPOINTS.values(), ids=ENDPOINTS)
def test_bodies_of_any_shape_pass_or_are_refused(fields: Sequence[Field]) -> None:
    values: list[Any] = [None, 0, "x", [], {}, [1], {"a": 1}, [{"type": 5}], [[]], True]
    for value in values:
        for name in {steps_of(row.path)[0].name for row in fields}:
            try:
                screen({name: value}, fields, RequestReading())
            except UnsupportedParameter as e:
                assert e.param is not None and e.param.startswith(name)


@pytest.mark.parametrize(
    ("edits", "left_out"),
    [
        ([], []),
        ([{"type": "clear_thinking_20251015", "keep": "all"}], []),
        ([{"type": "clear_thinking_20251015", "keep": {"type": "all"}}], []),
        ([{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "compact_20260112"}],
         ["context_management.edits[1]"]),
        ([{"type": "clear_thinking_20251015"}], ["context_management.edits[0]"]),
        ([{"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 10**6}}],
         ["context_management.edits[0]"]),
        ([{"type": "new_20270101"}, "odd", None], []),
    ],
)  # fmt: skip
def test_edits_of_the_context_never_refuse_a_request(edits: list[Any], left_out: list[str]) -> None:
    screen({"context_management": {"edits": edits}}, MESSAGES, reading := RequestReading())
    assert [item.param for item in reading.left_out] == left_out


def rows_of(markdown: str) -> Iterator[str]:
    return (line for line in markdown.splitlines() if line.startswith("| `"))


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "run: python -m kvproxy.wire.fields.fields_page > docs/fields.md"
    )
    assert len(list(rows_of(page()))) == sum(len(fields) for fields in ENDPOINTS.values())
