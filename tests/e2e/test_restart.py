"""A small engine that is full, told to end in the middle of a stream, and started again."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEXT = document("restart", 3_000)
ASK = in_system(TEXT, "Tell the whole story of this text, from its very beginning.")


@contextmanager
def long_stream(client: Reader) -> Iterator[Iterator[str]]:
    """The data lines of a stream of which the first text has arrived."""
    body = {"model": MODEL, "messages": ASK, "max_tokens": 100, "temperature": 0, "stream": True}
    with client.http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        while not content(next(lines)):
            pass
        yield lines


def content(line: str) -> str:
    delta: dict[str, Any] = json.loads(line)["choices"][0]["delta"]
    return str(delta.get("content") or "")


def test_full_then_drained_then_started_again(smollm2: Path, tmp_path: Path) -> None:
    config = {"model": {"name": MODEL}, "engine": {"max_running": 1, "max_waiting": 0}}
    proxy = Served(tmp_path, smollm2, config)
    with proxy:
        with reader(proxy.url) as client:
            kept = client.publish("restart", TEXT)["info"]["framings"][0]["tokens"]
            before = client.ask(ASK)
            with long_stream(client) as lines:
                a_full_engine_says_when_to_come_back(client)
                drains(proxy, client, lines)
        proxy.start()
        with reader(proxy.url) as client:
            after = client.ask(ASK)
    assert (after.outcome, after.key, after.cached) == ("hit", "restart@1", kept)
    assert (after.text, after.usage.prompt_tokens) == (before.text, before.usage.prompt_tokens)
    assert after.timing_ms["load"] > 0


def a_full_engine_says_when_to_come_back(client: Reader) -> None:
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            client.ask(ASK, stream=stream)
        assert refused.value.code == "engine_busy"
        assert int(refused.value.response.headers["retry-after"]) >= 1
    assert client.http.get("/health/ready").status_code == 200


def drains(proxy: Served, client: Reader, lines: Iterator[str]) -> None:
    """SIGTERM: newcomers are refused, the stream is not, and the status is 0."""
    proxy.signal(signal.SIGTERM)
    deadline = time.monotonic() + 10
    while (status := newcomer(client)) == 429:
        assert time.monotonic() < deadline, "the signal was not noticed"
    assert status in (503, None)
    *rest, finish, done = lines
    assert done == "[DONE]" and json.loads(finish)["choices"][0]["finish_reason"] in ("length", "stop")
    assert "".join(map(content, rest))
    assert proxy.wait() == 0, proxy.log
    assert "Traceback" not in proxy.log


def newcomer(client: Reader) -> int | None:
    """The status of one more request; None when nobody listens any more."""
    try:
        response = client.http.post("/v1/chat/completions", json={"model": MODEL, "messages": ASK})
    except httpx.ConnectError:
        return None
    if response.status_code == 503:
        assert response.json()["error"]["code"] == "shutting_down"
        assert int(response.headers["retry-after"]) >= 1
        assert client.http.get("/health/ready").status_code == 503
    return response.status_code
