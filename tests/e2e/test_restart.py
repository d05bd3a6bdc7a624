"""One store, three runs: full and told to end midway; started again on a damaged disk; with another dtype.

One test, since every start takes seconds.
"""

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

from tests.e2e.damage import DAMAGE, damage_all, faults
from tests.e2e.reader import MODEL, Answer, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SOUND = "sound"
IDS = (SOUND, *(damage.__name__ for damage in DAMAGE))
CHARACTERS = 1_700


def text_of(id: str) -> str:
    """Documents from different places of the text, so that a page of another one would change the answer."""
    return document(id, CHARACTERS, skip=IDS.index(id) * 3_000)


def ask(client: Reader, id: str, **fields: Any) -> Answer:
    return client.ask(in_system(text_of(id), "What is it about?"), max_tokens=12, **fields)


def test_two_runs_on_one_store(smollm2: Path, tmp_path: Path) -> None:
    config = {"model": {"name": MODEL}}
    proxy = Served(tmp_path, smollm2, config | {"engine": {"max_running": 1, "max_waiting": 0}})
    with proxy:
        with reader(proxy.url) as client:
            for id in IDS:
                client.publish(id, text_of(id))
            right = {id: ask(client, id) for id in IDS}
            assert {a.outcome for a in right.values()} == {"hit"}
            assert len({a.text for a in right.values()}) == len(IDS), "equal answers would tell nothing"
            with long_stream(client) as lines:
                a_full_engine_says_when_to_come_back(client)
                drains(proxy, client, lines)
        broken = damage_all(proxy.store, SOUND)

        proxy.configure(config)
        proxy.start()
        with reader(proxy.url) as client:
            damaged_pages_are_a_miss(proxy, client, right, broken)
            the_first_reader_hits(client, right[SOUND])
        assert proxy.stop() == 0
        assert faults(proxy.store) == [], "what had to be computed again was stored again"


@pytest.mark.slow  # two more starts of the real model
def test_pages_of_another_dtype_are_not_used(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy:
        with reader(proxy.url) as client:
            client.publish(SOUND, text_of(SOUND))
        assert proxy.stop() == 0
        proxy.start("--dtype", "float32")
        with reader(proxy.url) as client:
            another_engines_pages_are_not_used(proxy, client)
    assert faults(proxy.store) == []


@contextmanager
def long_stream(client: Reader) -> Iterator[Iterator[str]]:
    """The data lines of a stream of which the first text has arrived."""
    messages = in_system(text_of(SOUND), "Tell the whole story of this text from its beginning.")
    body = {"model": MODEL, "messages": messages, "max_tokens": 80, "temperature": 0, "stream": True}
    with client.http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        while not content(next(lines)):
            pass
        yield lines


def content(line: str) -> str:
    delta: dict[str, Any] = json.loads(line)["choices"][0]["delta"]
    return str(delta.get("content") or "")


def a_full_engine_says_when_to_come_back(client: Reader) -> None:
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            ask(client, SOUND, stream=stream)
        assert refused.value.code == "engine_busy"
        assert int(refused.value.response.headers["retry-after"]) >= 1


def drains(proxy: Served, client: Reader, lines: Iterator[str]) -> None:
    """SIGTERM: new requests are refused, the running stream is not, and the exit status is 0."""
    proxy.signal(signal.SIGTERM)
    deadline = time.monotonic() + 60
    while (status := new_request(client)) == 429:
        assert time.monotonic() < deadline, "the signal was not noticed"
    assert status in (503, None)
    *rest, finish, done = lines
    assert done == "[DONE]" and json.loads(finish)["choices"][0]["finish_reason"] in ("length", "stop")
    assert "".join(map(content, rest))
    assert proxy.wait() == 0, proxy.log
    assert "Traceback" not in proxy.log


def new_request(client: Reader) -> int | None:
    """The status of one more request; None when the port is closed."""
    messages = in_system(text_of(SOUND), "What is it?")
    try:
        response = client.http.post("/v1/chat/completions", json={"model": MODEL, "messages": messages})
        if response.status_code == 503:
            assert response.json()["error"]["code"] == "shutting_down"
            assert int(response.headers["retry-after"]) >= 1
            assert client.http.get("/health/ready").status_code == 503
    except httpx.ConnectError:
        return None
    return response.status_code


def the_first_reader_hits(client: Reader, before: Answer) -> None:
    kept = client.http.get(f"/kv/v1/documents/{SOUND}").json()["framings"][0]
    assert kept["resident_tokens"] == kept["tokens"] > 256
    after = ask(client, SOUND)
    assert (after.outcome, after.key, after.cached) == ("hit", f"{SOUND}@1", kept["tokens"])
    assert (after.text, after.usage.prompt_tokens) == (before.text, before.usage.prompt_tokens)
    assert after.timing_ms["load"] > 0


def damaged_pages_are_a_miss(
    proxy: Served, client: Reader, right: dict[str, Answer], broken: dict[str, str]
) -> None:
    """The right answer and a reason, once; then a hit.

    The missing documents are requested first: seconds later they are made again in the background.
    """
    for damage, (_, reason) in DAMAGE.items():
        id = damage.__name__
        # A reader before, whose prompt begins with the same few tokens, may have asked for this very page.
        told = "not-resident" if f"page {broken[id]} rejected: " in proxy.log else reason
        first = ask(client, id)
        assert (first.outcome, first.key, first.detail) == ("fwd=miss", f"{id}@1", told)
        again = ask(client, id)
        assert (again.outcome, again.key) == ("hit", f"{id}@1")
        assert first.text == again.text == right[id].text
        if reason == "pages-rejected":
            assert f"page {broken[id]} rejected: " in proxy.log
    assert "dropped 1 pages that lost their files" in proxy.log


def another_engines_pages_are_not_used(proxy: Served, client: Reader) -> None:
    first = ask(client, SOUND)
    assert (first.outcome, first.key, first.detail) == ("fwd=miss", f"{SOUND}@1", "not-resident")
    assert (
        f"{SOUND}@1 (system) will be prefilled again: no pages of it are recorded for this engine"
        in proxy.log
    )
    again = ask(client, SOUND)
    assert (again.outcome, again.text) == ("hit", first.text)
