from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.wire.service.served_requests import KvRequest

ENTRY: dict[str, Any] = {
    "object": "kv_request",
    "id": "req_1",
    "at": 1_700_000_000.5,
    "client": "codex/1",
    "endpoint": "/v1/chat/completions",
    "model": "fleet",
    "status": 200,
    "outcome": "hit",
    "reason": None,
    "cause": "rounded-to-block",
    "document": "handbook@3",
    "prompt_tokens": 1003,
    "cached_tokens": 896,
    "completion_tokens": 12,
    "ttft_s": 0.1,
    "total_s": 0.4,
}
TYPE: TypeAdapter[KvRequest] = TypeAdapter(KvRequest)


@pytest.mark.parametrize(
    "more",
    [{}, {"replica": "rack2"}, {"rounded_tokens": 107}, {"currency": "USD", "cost": "0.1", "saved": "0.2"}],
)
def test_what_not_every_request_has_may_be_missing(more: dict[str, Any]) -> None:
    assert TYPE.validate_python({**ENTRY, **more}, strict=True) == {**ENTRY, **more}


@pytest.mark.parametrize("name", ["cached_tokens", "cause", "ttft_s"])
def test_what_is_unknown_is_null_and_never_missing(name: str) -> None:
    TYPE.validate_python({**ENTRY, name: None}, strict=True)
    with pytest.raises(ValidationError, match=name):
        TYPE.validate_python({k: v for k, v in ENTRY.items() if k != name}, strict=True)
