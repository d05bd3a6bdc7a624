"""Bodies of a version's life: what is taken, what is refused, and answers of the documented types."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from kvproxy.wire.kv_documents.document_bodies import MOST_TTL_S
from kvproxy.wire.kv_documents.version_bodies import (
    MOST_REASON,
    AliasBody,
    KvAlias,
    KvAliasDeleted,
    KvRevoked,
    RevokeBody,
    TouchBody,
)
from tests.server.doubles import client_of, make_proxy
from tests.server.routes.test_documents_route import DOCUMENTS, publish


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TouchBody, {"ttl_s": 1}),
        (TouchBody, {"ttl_s": MOST_TTL_S}),
        (TouchBody, {"ttl_s": None}),
        (RevokeBody, {"reason": "x" * MOST_REASON}),
        (RevokeBody, {"reason": "zurückgezogen: 間違い"}),
        (AliasBody, {"version": 10**9 - 1}),
        (AliasBody, {"version": None}),
    ],
)
def test_what_is_taken_is_taken_as_it_is(kind: type[BaseModel], body: dict[str, Any]) -> None:
    assert kind.model_validate(body).model_dump() == body


def test_an_alias_means_the_current_version_by_default() -> None:
    assert AliasBody.model_validate({}).version is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TouchBody, {}),  # no end is said as null, and never by leaving it out
        (TouchBody, {"ttl_s": 0}),
        (TouchBody, {"ttl_s": MOST_TTL_S + 1}),
        (TouchBody, {"ttl_s": True}),
        (TouchBody, {"ttl_s": "60"}),
        (TouchBody, {"ttl_s": 60.0}),
        (TouchBody, {"ttl_s": 60, "ttl": 60}),
        (RevokeBody, {}),
        (RevokeBody, {"reason": ""}),
        (RevokeBody, {"reason": None}),
        (RevokeBody, {"reason": "x" * (MOST_REASON + 1)}),
        (RevokeBody, {"reason": "two\nlines"}),
        (RevokeBody, {"reason": "a\x1b[31mb"}),
        (RevokeBody, {"reason": "a\u2028b"}),
        (AliasBody, {"version": 0}),
        (AliasBody, {"version": 10**9}),
        (AliasBody, {"version": "1"}),
        (AliasBody, {"alias": "stable"}),
    ],
)
def test_all_else_is_refused(kind: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(body)


async def test_the_answers_are_of_their_types() -> None:
    async with client_of(make_proxy()) as http:
        await publish(http)
        handbook = f"{DOCUMENTS}/law/handbook"
        for method, path, body, type_ in (
            ("POST", "aliases/stable", {}, KvAlias),
            ("DELETE", "aliases/stable", None, KvAliasDeleted),
            ("POST", "revoke", {"reason": "wrong"}, KvRevoked),
        ):
            response = await http.request(method, f"{handbook}/{path}", json=body)
            answer = await response.json()
            adapter: TypeAdapter[Any] = TypeAdapter(type_)
            assert adapter.validate_python(answer, strict=True) == answer, "no field is undocumented"
            with pytest.raises(ValidationError):
                adapter.validate_python({**answer, "object": "kv_document"}, strict=True)
