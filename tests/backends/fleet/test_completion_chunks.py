from __future__ import annotations

import json

import pytest

from kvproxy.backends.fleet.completion_chunks import encode_json, read_chunk


def test_a_chunk_is_read_whatever_else_it_has() -> None:
    payload = {
        "id": "x",
        "choices": [{"text": "ü", "index": 0, "token_ids": [1], "stop_reason": 7}],
        "new": {},
    }
    (choice,) = read_chunk(json.dumps(payload).encode()).choices
    assert (choice.text, choice.stop_reason, choice.finish_reason, choice.logprobs) == ("ü", 7, None, None)


def test_an_error_event_is_an_error() -> None:
    found = read_chunk(b'{"error": {"message": "no", "code": 500}}')
    assert found.error == {"message": "no", "code": 500} and found.choices == []


@pytest.mark.parametrize("details", ["null", "{}", '{"cached_tokens": null}'])
def test_a_replica_that_does_not_count_has_no_details(details: str) -> None:
    usage = read_chunk(
        f'{{"usage": {{"prompt_tokens": 3, "prompt_tokens_details": {details}}}}}'.encode()
    ).usage
    assert usage is not None
    assert usage.prompt_tokens_details is None or usage.prompt_tokens_details.cached_tokens is None


@pytest.mark.parametrize(
    "payload", [b"{", b'"text"', b'{"choices": {"text": 3}}', b'{"choices": [{"text": 3}]}']
)
def test_what_is_no_chunk_is_a_value_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_chunk(payload)


def test_tuples_are_arrays() -> None:
    assert encode_json({"prompt": (1, 2)}) == b'{"prompt":[1,2]}'
