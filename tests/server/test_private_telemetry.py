"""Spans, log lines and metrics of requests for models: none has a word of a prompt or an answer, a key, or a private
document's id."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from kvproxy.telemetry.json_log_lines import JsonLogLines
from tests.server.doubles import Http, client_of, make_proxy
from tests.telemetry.tracing.kept_spans import KeptSpans

SECRET = "marzipan"
KEY = f"key-of-ann-{SECRET}-0123456789"
ID = f"plans-{SECRET}"
TEXT = f"the {SECRET} of the text " * 20
MESSAGES = [{"role": "user", "content": TEXT}]
NAMED = [{"role": "user", "content": [{"type": "kv_document", "document": ID}]}]
ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/v1/chat/completions", {"messages": MESSAGES, "stop": [SECRET], "user": SECRET}),
    ("/v1/chat/completions", {"messages": NAMED}),
    ("/v1/chat/completions", {"messages": MESSAGES, "metadata": {"name": SECRET}, "temperature": SECRET}),
    ("/v1/completions", {"prompt": TEXT, "stop": SECRET}),
    ("/v1/responses", {"input": TEXT, "instructions": SECRET, "prompt_cache_key": SECRET}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 9, "stop_sequences": [SECRET]}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": SECRET}]}]}),
]


async def _ask_all(http: Http) -> list[int]:
    statuses = []
    for path, body in ASKED:
        for model in ("fake", "gpt-far"):
            for stream in (False, True):
                answer = await http.post(path, json={**body, "model": model, "stream": stream})
                await answer.read()
                statuses.append(answer.status)
    return statuses


async def test_nothing_private_is_told(caplog: pytest.LogCaptureFixture) -> None:
    kept, proxy = KeptSpans(), make_proxy(api_keys=(("ann", KEY),))
    proxy.misses.text = f"the answer has {SECRET}"
    caplog.set_level(logging.DEBUG)
    async with client_of(kept.of(proxy)) as http:
        http.session.headers["Authorization"] = f"Bearer {KEY}"
        published = {"id": ID, "text": TEXT, "visibility": "private"}
        assert (await http.post("/kv/v1/documents", json=published)).status == 201
        # The access log of the management API names what is managed, by its path; that of models names no document.
        caplog.clear()
        statuses = await _ask_all(http)
        metrics = await (await http.get("/metrics")).text()
    assert statuses.count(200) >= 16 and statuses.count(400) >= 3
    assert len(kept.requests) == len(statuses) + 1
    spans = "".join(span.to_json() for span in kept.all)
    lines = [json.loads(JsonLogLines().format(record)) for record in caplog.records]
    assert len(lines) >= len(statuses)
    for told in (spans, metrics, json.dumps(lines)):
        assert SECRET not in told
