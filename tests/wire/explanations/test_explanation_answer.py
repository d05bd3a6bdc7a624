"""The documented type of an explanation: what a proxy answers and what is shown of it fits, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.server.openapi.openapi_document import describe
from kvproxy.server.openapi.operations.explain_operations import EXPLAIN
from kvproxy.wire.explanations.explanation_answer import KvExplanation
from tests.server.doubles import client_of, make_proxy
from tests.terminal.test_explanation_text import TOLD

TYPE: TypeAdapter[Any] = TypeAdapter(KvExplanation)
WHOLE: dict[str, Any] = {"object": "kv_explanation", "replica": None, **TOLD}


async def test_a_proxys_answer_is_of_the_type_and_has_no_field_beside_it() -> None:
    body = {"model": "fake", "messages": [{"role": "user", "content": "Why?"}]}
    async with client_of(make_proxy()) as http:
        told = await (await http.post("/kv/v1/explain", json=body)).json()
    assert TYPE.validate_python(told, strict=True) == told


def test_what_the_command_line_shows_is_of_the_type() -> None:
    assert TYPE.validate_python(WHOLE, strict=True) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"object": "kv_document"},
        {"outcome": "collapsed"},
        {"prompt_tokens": None},
        {"cached_tokens": "0"},
        {"compared": {**TOLD["compared"], "kind": "session"}},
        {"compared": {**TOLD["compared"], "id": None}},
        {"difference": {**TOLD["difference"], "counted_from": "token"}},
        {"difference": {**TOLD["difference"], "before": None}},
        {"difference": {**TOLD["difference"], "token": {"index": 1}}},
    ],
)
def test_nothing_else_is(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TYPE.validate_python({**WHOLE, **change}, strict=True)


@pytest.mark.parametrize("name", WHOLE)
def test_no_field_is_left_out_where_there_is_nothing_to_tell(name: str) -> None:
    with pytest.raises(ValidationError):
        TYPE.validate_python({n: value for n, value in WHOLE.items() if n != name}, strict=True)


def test_its_fields_are_documented() -> None:
    schemas = describe(EXPLAIN, served_name="fake")["components"]["schemas"]
    assert (
        set(schemas["KvExplanation"]["properties"]) == set(WHOLE) == set(schemas["KvExplanation"]["required"])
    )
    assert set(schemas["ShownDifference"]["properties"]) == set(TOLD["difference"])
    assert set(schemas["ShownToken"]["properties"]) == set(TOLD["difference"]["token"])
