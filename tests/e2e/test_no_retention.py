"""Requests that may leave nothing behind: by header, by key, and by ``store: false`` where the operator says so.

After each of them every place is looked through in which the proxy keeps anything: page files, spilled pages, objects,
stored responses, databases, logs.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PUBLIC = document("handbook", 1_700)
SECRET = " ".join(f"Patient {i} of ward {i % 7} has the reading {i * 7919 % 1000}." for i in range(30))
KEYS = {"clinic": "key-of-the-clinic-0001", "agent": "key-of-the-agent-0001"}
NONE = {"x-kvproxy-retention": "none"}


def chat(client: Reader, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    body = {
        "model": MODEL,
        "messages": in_system(PUBLIC, SECRET),
        "max_tokens": 8,
        "temperature": 0,
        **fields,
    }
    answer = client.http.post("/v1/chat/completions", json=body, headers=headers)
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def cached(answer: dict[str, Any]) -> int:
    tokens: int = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    return tokens


def respond(client: Reader, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    body = {"model": MODEL, "input": SECRET, "max_output_tokens": 8, "temperature": 0, **fields}
    answer = client.http.post("/v1/responses", json=body, headers=headers)
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


def message(client: Reader, headers: dict[str, str]) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 8}
    answer = client.http.post("/v1/messages", json=body, headers=headers)
    result: dict[str, Any] = answer.raise_for_status().json()
    return result


class Traces:
    """The secret's text and token ids, looked for in every file below a folder."""

    def __init__(self, model: Path) -> None:
        ids = Tokenizer.from_file(str(model / "tokenizer.json")).encode(SECRET).ids
        middle = ids[len(ids) // 2 : len(ids) // 2 + 12]
        self._needles = (SECRET[700:740].encode(), struct.pack(f"<{len(middle)}I", *middle))

    def files(self, folder: Path) -> list[str]:
        return [
            path.name
            for path in folder.rglob("*")
            if path.is_file() and any(needle in path.read_bytes() for needle in self._needles)
        ]


def config_of(objects: Path) -> dict[str, Any]:
    """Every place in which something may be left: pages, objects, spilled pages, audits, and a key that retains."""
    return {
        "server": {
            "api_keys": [
                {"name": "clinic", "key": KEYS["clinic"], "retain": False},
                {"name": "agent", "key": KEYS["agent"]},
            ]
        },
        "model": {"name": MODEL},
        "engine": {"audit": 1.0, "page_budget": "96MiB"},
        "store": {"objects": {"url": f"file://{objects}", "acknowledge": "objects"}},
    }


def assert_nothing_kept(client: Reader, headers: dict[str, str]) -> None:
    """No answer of any dialect finds what an earlier request of these may have left."""
    first = chat(client, headers)
    again = chat(client, headers)
    assert again["choices"] == first["choices"]
    assert 0 < cached(again) == cached(first) < 600, "the published document is read, and that alone"
    stored = respond(client, headers)
    assert stored["store"] is False
    assert client.http.get(f"/v1/responses/{stored['id']}").status_code == 404
    assert message(client, headers)["usage"]["cache_creation_input_tokens"] == 0


def test_nothing_is_left_anywhere(smollm2: Path, tmp_path: Path) -> None:
    traces = Traces(smollm2)
    objects = tmp_path / "objects"
    with (
        Served(tmp_path, smollm2, config_of(objects)) as proxy,
        reader(proxy.url, KEYS["clinic"]) as clinic,
        reader(proxy.url, KEYS["agent"]) as agent,
    ):
        agent.publish("handbook", PUBLIC)
        pages = {path.name for path in proxy.store.rglob("*.page")}
        assert pages and {path.name.removesuffix(".page")[2:] for path in objects.rglob("*.page")}

        for client, headers in ((clinic, {}), (agent, NONE)):
            assert_nothing_kept(client, headers)
        # Other requests push everything that could be evicted out of memory, into spill files.
        for i in range(4):
            agent.ask([{"role": "user", "content": document(f"other {i}", 9_000, skip=i * 5_000)}])
        assert list((proxy.store / "spill").glob("*.page")), "there was pressure"
        assert traces.files(tmp_path) == []
        assert {path.name for path in (proxy.store / "pages").rglob("*.page")} == pages

        # The same request without the header leaves what others may look for: the search does find it.
        respond(agent)
        cold = chat(agent)
        assert cached(chat(agent)) > cached(cold)
        wrong = agent.http.post("/v1/chat/completions", json={}, headers={"x-kvproxy-retention": "some"})
        assert wrong.status_code == 400 and "x-kvproxy-retention" in wrong.json()["error"]["message"]
    assert traces.files(proxy.store / "responses")
    assert traces.files(objects) == []


@pytest.mark.slow  # two starts of the real model
def test_store_false_is_about_the_response_unless_the_operator_says_otherwise(
    smollm2: Path, tmp_path: Path
) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy, reader(proxy.url) as client:
        assert cached_input(respond(client, store=False)) == 0
        assert cached_input(respond(client, store=False)) > 250, "agents reuse their own prompts"
        proxy.stop()
        proxy.configure({"model": {"name": MODEL}, "requests": {"store_false": "nothing"}})
        proxy.start()
        with reader(proxy.url) as strict:
            for _ in range(2):
                assert cached_input(respond(strict, store=False)) == 0
                assert cached(chat(strict, store=False)) == 0
            assert Traces(smollm2).files(tmp_path / "store") == []
            respond(strict)
            assert cached_input(respond(strict)) > 250


def cached_input(answer: dict[str, Any]) -> int:
    tokens: int = answer["usage"]["input_tokens_details"]["cached_tokens"]
    return tokens
