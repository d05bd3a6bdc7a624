from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from kvproxy.wire.kv_documents.version_bodies import AliasBody, RevokeBody, TouchBody


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TouchBody, {"ttl_s": 1}),
        (TouchBody, {"ttl_s": None}),
        (RevokeBody, {"reason": "it was wrong, sorry: 50 % too much"}),
        (RevokeBody, {"reason": "世界"}),
        (AliasBody, {}),
        (AliasBody, {"version": 999_999_999}),
    ],
)
def test_what_is_taken(kind: type[BaseModel], body: dict[str, Any]) -> None:
    assert kind.model_validate(body).model_dump(exclude_unset=True) == body


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TouchBody, {}),
        (TouchBody, {"ttl_s": True}),
        (TouchBody, {"ttl_s": 1.5}),
        (TouchBody, {"ttl_s": 1, "until": 2}),
        (RevokeBody, {"reason": "two\nlines"}),
        (RevokeBody, {"reason": "\x7f"}),
        (RevokeBody, {"reason": "half a pair \ud83d"}),
        (AliasBody, {"version": 0}),
        (AliasBody, {"alias": "x"}),
    ],
)
def test_what_is_not(kind: type[BaseModel], body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(body)
