"""A tool that reads an image ends neither a conversation nor the reuse of its prefix: each endpoint, the real model."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL
from tests.e2e.texts import document
from tests.server.test_history import CHAT, MESSAGES, RESPONSES, Turns, counts

pytestmark = pytest.mark.e2e

TEXT = document("picture", 1_500, 900)


@pytest.mark.parametrize(
    ("path", "fields", "place", "turns"),
    [
        ("/v1/messages", {"max_tokens": 8}, "messages", MESSAGES),
        ("/v1/chat/completions", {"max_tokens": 8}, "messages", CHAT),
        ("/v1/responses", {"max_output_tokens": 8, "store": False}, "input", RESPONSES),
    ],
)
def test_three_turns_behind_an_image(
    fresh: Fresh, path: str, fields: dict[str, Any], place: str, turns: Turns
) -> None:
    reader = fresh()
    history: list[Any] = [
        {"role": "user", "content": TEXT},
        {"role": "assistant", "content": "I have read it."},
    ]
    before = 0
    for number, turn in enumerate(turns):
        history += turn
        body = {"model": MODEL, "temperature": 0, **fields, place: history}
        response = reader.http.post(
            reader.url + path, json=body, headers={"Authorization": f"Bearer {reader.key}"}
        )
        assert response.status_code == 200, response.text
        assert "image" in response.headers["x-kvproxy-left-out"]
        prompt, cached = counts(response.json()["usage"])
        if number:
            assert cached > before - PAGE_TOKENS > 0, "all whole pages of the earlier prompt"
        before = prompt
