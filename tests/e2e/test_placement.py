"""A client that asks for it has a document in the middle of its prompt moved to the front, over every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Reader
from tests.e2e.texts import document

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ASKED = {"x-kvproxy-placement": "front"}


def test_a_document_behind_an_instruction_is_a_hit_where_that_is_asked_for(
    fresh: Fresh, publisher: Reader
) -> None:
    text = document("placed", 1_600)
    publisher.publish("placed", text)
    http, words = fresh().http, f"Read this, and answer in a word.\n\n{text}\n\nWhat is a covered work?"
    turns = [{"role": "user", "content": words}]
    anthropic = {"model": MODEL, "max_tokens": 4, "messages": turns}
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"model": MODEL, "max_tokens": 4, "temperature": 0, "messages": turns},
        "/v1/responses": {
            "model": MODEL,
            "max_output_tokens": 4,
            "temperature": 0,
            "input": words,
            "store": False,
        },
        "/v1/messages": anthropic,
    }
    for path, body in bodies.items():
        plain = http.post(path, json=body)
        assert plain.status_code == 200 and "x-kvproxy-placement" not in plain.headers
        assert "placed@1" not in plain.headers["cache-status"]
        for fields, headers in (({"kv_placement": "front"}, {}), ({}, ASKED)):
            moved = http.post(path, json={**body, **fields}, headers=headers)
            assert moved.status_code == 200, moved.text
            assert moved.headers["x-kvproxy-placement"] == 'front; moved="placed@1"'
            status = moved.headers["cache-status"]
            assert status.startswith('kvproxy; hit; key="placed@1"') and status.endswith('; moved=1"')
            assert int(status.partition("tokens=")[2].partition(",")[0]) > PAGE_TOKENS
        kept = http.post(path, json={**body, "kv_placement": "keep"}, headers=ASKED)
        assert "x-kvproxy-placement" not in kept.headers, "the body's word counts"
        assert http.post(path, json={**body, "kv_placement": "middle"}).status_code == 400
    counts = [
        http.post(
            "/v1/messages/count_tokens", json={"model": MODEL, "messages": turns}, headers=headers
        ).json()
        for headers in ({}, ASKED)
    ]
    assert counts[1]["input_tokens"] != counts[0]["input_tokens"], "it is another prompt"


def test_a_stream_tells_it_and_nothing_moves_where_nothing_is_known(fresh: Fresh) -> None:
    body = {
        "model": MODEL,
        "max_tokens": 2,
        "messages": [{"role": "user", "content": "Read:\nnothing known."}],
    }
    answer = fresh().http.post("/v1/chat/completions", json={**body, "kv_placement": "front", "stream": True})
    assert answer.status_code == 200 and answer.headers["x-kvproxy-placement"] == "front"
    assert "moved" not in answer.headers["cache-status"]
