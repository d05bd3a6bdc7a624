"""A page budget of a few requests: what tenants said is spilled, what publishers pinned stays, and every answer is
the one that a fresh prefill gives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reader import MODEL, Answer, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

KEYS = tuple(f"key-of-tenant-{i:03}" for i in range(4))
PAGE = 5_898_240
"""Bytes of one of SmolLM2-135M's pages in bfloat16."""


def pressed(client: Reader, title: str) -> None:
    """A prompt of some 8 of the 12 pages, asked for more often than the pinned document."""
    for _ in range(3):
        client.ask([{"role": "user", "content": document(title, 8_200)}], max_tokens=1)


def test_pages_under_pressure(smollm2: Path, tmp_path: Path) -> None:
    config = {
        "server": {"api_keys": [{"name": f"t{i}", "key": key} for i, key in enumerate(KEYS)]},
        "model": {"name": MODEL, "max_context": 2048},
        "engine": {"page_budget": 12 * PAGE},
    }
    text, talk = document("pinned", 2_400), [{"role": "user", "content": document("mine", 4_000, skip=9_000)}]
    proxy = Served(tmp_path, smollm2, config)
    with proxy:
        with reader(proxy.url, KEYS[0]) as first, reader(proxy.url, KEYS[1]) as second:
            body = {"id": "pinned", "text": text, "pinned": True}
            assert first.http.post("/kv/v1/documents", json=body).json()["info"]["pinned"]
            too_long = {"id": "long", "text": document("long", 7_000), "pinned": True}
            refused = first.http.post("/kv/v1/documents", json=too_long)
            assert refused.status_code == 400 and refused.json()["error"]["param"] == "pinned"
            hit = first.ask(in_system(text, "What is it about?"))
            said = first.ask(talk)
            again: list[dict[str, Any]] = [
                *talk,
                {"role": "assistant", "content": said.text},
                {"role": "user", "content": "Go on."},
            ]
            pressed(second, "one")
            warm = first.ask(again)
            assert list((proxy.store / "spill").glob("*.page")), "what was evicted went to disk"
            assert warm.cached > 700 and warm.timing_ms["load"] > 0
            strange = second.ask(again)
            assert strange.cached < 60, "a spilled page is its tenant's"
            assert strange.text == warm.text
            pressed(second, "two")
            stays(proxy, KEYS[2], text, hit)
        assert proxy.stop() == 0
        assert list((proxy.store / "spill").iterdir()) == [], "nobody's words outlast the process"

        proxy.start()
        with reader(proxy.url, KEYS[1]) as second:
            until = time.monotonic() + 60
            while "pinned@1 is pinned again" not in proxy.log:
                assert time.monotonic() < until, proxy.log
                time.sleep(0.05)
            pressed(second, "three")
            pressed(second, "four")
            stays(proxy, KEYS[3], text, hit)


def stays(proxy: Served, key: str, text: str, hit: Answer) -> None:
    """Whatever else went, somebody new reads it from memory."""
    with reader(proxy.url, key) as client:
        again = client.ask(in_system(text, "What is it about?"))
    assert again.outcome == "hit" and again.text == hit.text
    assert again.timing_ms.get("load", 0.0) == 0.0
