"""The usage handler counts requests, and no answers of LangChain's own cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.load import dumps, loads

from langchain_kvproxy import ChatKVProxy, KVProxyUsageHandler

from .fake_chat import HIT, FakeChat, running


class OnDisk(BaseCache):
    """Keeps answers as text, as caches that outlive a process do."""

    def __init__(self, path: Path) -> None:
        self._rows = sqlite3.connect(path, check_same_thread=False)
        self._rows.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value TEXT)")

    def lookup(self, prompt: str, llm_string: str) -> Any:
        row = self._rows.execute("SELECT value FROM answers WHERE key = ?", (prompt + llm_string,)).fetchone()
        return loads(row[0], allowed_objects="core") if row else None

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        values = (prompt + llm_string, dumps(list(return_val)))
        self._rows.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)

    def clear(self, **kwargs: Any) -> None:
        self._rows.execute("DELETE FROM answers")


@pytest.fixture
def fake() -> Iterator[FakeChat]:
    with running() as fake:
        fake.status, fake.cached = HIT, 40
        yield fake


def test_the_causes_of_misses_are_summed(fake: FakeChat) -> None:
    model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0)
    with KVProxyUsageHandler() as usage:
        for cause in ("timestamp", "timestamp", "uuid"):
            fake.status, fake.cached = f'kvproxy; fwd=miss; detail="no-document; cause={cause}"', 0
            model.invoke("How many?")
    assert usage.totals()["miss_reasons"] == {"no-document": 3}
    assert usage.totals()["miss_causes"] == {"timestamp": 2, "uuid": 1}
    assert "3 misses (3 no-document), caused by 2 timestamp, 1 uuid" in usage.summary()


@pytest.mark.filterwarnings("ignore:The function `load")
@pytest.mark.parametrize("kept", ["memory", "disk"])
async def test_what_langchain_replays_is_no_request(fake: FakeChat, kept: str, tmp_path: Path) -> None:
    cache = InMemoryCache() if kept == "memory" else OnDisk(tmp_path / "answers")
    model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0, cache=cache)
    with KVProxyUsageHandler() as first:
        model.invoke("How many?")
        model.invoke("How many?")
    with KVProxyUsageHandler() as later:  # as another process that finds the same cache
        await model.ainvoke("How many?")
    assert len(fake.bodies) == 1
    totals = first.totals()
    assert (totals["requests"], totals["replayed"], totals["hits"]) == (1, 1, 1)
    assert (totals["prompt_tokens"], totals["cached_tokens"]) == (50, 40)
    assert "1 more answers came from LangChain's cache" in first.summary()
    assert (later.totals()["requests"], later.totals()["replayed"], later.totals()["hits"]) == (0, 1, 0)
    assert "LangChain's cache" not in KVProxyUsageHandler().summary()


def test_other_documents_or_another_salt_are_another_question_to_langchains_cache(fake: FakeChat) -> None:
    model = ChatKVProxy(model="m", base_url=fake.url, max_retries=0, cache=InMemoryCache())
    for options in ({}, {"documents": ["a"]}, {"documents": ["b"]}, {"cache_salt": "s"}):
        model.invoke("How many?", **options)
    model.model_copy(update={"documents": ["c"]}).invoke("How many?")
    model.model_copy(update={"cache_salt": "t"}).invoke("How many?")
    assert len(fake.bodies) == 6
    assert [body.get("cache_salt") for body in fake.bodies] == [None, None, None, "s", None, "t"]
