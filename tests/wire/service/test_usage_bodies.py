"""Usage figures on the wire: what may be null, what is always there, and nothing but what is listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from kvproxy.core import MissCause
from kvproxy.wire.service.usage_bodies import KvMissList, KvOverview
from tests.server.doubles import ask, client_of, make_proxy

OVERVIEW: TypeAdapter[KvOverview] = TypeAdapter(KvOverview)
MISSES: TypeAdapter[KvMissList] = TypeAdapter(KvMissList)

TTFT = {"count": 2, "p50_s": 0.02, "p99_s": 0.5}
SUMS = {
    "requests": 3,
    "hits": 1,
    "misses": 1,
    "cold": 0,
    "prompt_tokens": 2000,
    "cached_tokens": 900,
    "completion_tokens": 20,
    "hit_share": 0.45,
    "saved_s": 0.45,
    "saved": [{"nano": 377_000, "amount": "0.000377", "currency": "USD"}],
}
POINT = {
    "at": 1_700_000_040,
    "requests": 3,
    "prompt_tokens": 2000,
    "cached_tokens": 900,
    "hit_ttft": TTFT,
    "miss_ttft": TTFT,
    "misses": {"timestamp": 1},
}
ENGINE = {
    "running": 1,
    "waiting": 0,
    "pages": {"free": 5, "used": 3, "evictable": 2},
    "page_budget": 10,
    "audits": {"passed": 4, "failed": 0, "dropped": 0},
    "quarantined": 0,
    "counters": {},
    "gauges": {},
}
ENTRY: dict[str, Any] = {
    "object": "kv_overview",
    "tenant": "ann",
    "at": 1_700_000_080.5,
    "version": "1.0",
    "uptime_s": 80,
    "ready": False,
    "reason": "the model is loading",
    "degraded": ["database"],
    "models": ["small"],
    "published": {"versions": 2, "tokens": 500, "pages": 3},
    "today": SUMS,
    "total": SUMS,
    "recent": {"seconds": 7200, "hit_ttft": TTFT, "miss_ttft": TTFT, "misses": {"timestamp": 1}},
    "series": [POINT],
    "engine": ENGINE,
    "store": [{"name": "disk", "pages": 3, "bytes": 4096, "budget": 1 << 30}],
}
MISS: dict[str, Any] = {
    "object": "kv_miss",
    "id": "req_1",
    "at": 1_700_000_000.5,
    "tenant": "ann",
    "model": "small",
    "reason": "no-document",
    "cause": "timestamp",
    "document": "handbook@3",
    "prompt_tokens": 1003,
    "cached_tokens": 0,
    "ttft_s": 0.5,
}
NULLABLE = {"tenant", "reason", "engine", "store", "tokens", "hit_share", "p50_s", "p99_s", "bytes", "budget"}
"""Fields that may be null, with ``published.pages``."""

Path = tuple[str | int, ...]


def changed(value: Any, path: Path, new: Any) -> Any:
    """Return a copy with ``new`` at ``path``; ``...`` leaves out what is there."""
    step, rest = path[0], path[1:]
    copied: Any = value.copy()
    if rest:
        copied[step] = changed(value[step], rest, new)
    elif new is ...:
        del copied[step]
    else:
        copied[step] = new
    return copied


def paths(value: Any, before: Path = ()) -> Iterator[Path]:
    """Yield the path of each named field, but of those whose names are data."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*before, name)
            if name not in ("misses", "pages", "audits", "counters", "gauges") or isinstance(inner, int):
                yield from paths(inner, (*before, name))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from paths(inner, (*before, at))


def test_whole_bodies_are_taken_as_they_are() -> None:
    assert OVERVIEW.validate_python(ENTRY, strict=True) == ENTRY
    listed = {"object": "list", "data": [MISS]}
    assert MISSES.validate_python(listed, strict=True) == listed


@pytest.mark.parametrize("path", list(paths(ENTRY)), ids=lambda path: ".".join(map(str, path)))
def test_no_figure_is_ever_missing_and_a_null_has_its_meaning(path: Path) -> None:
    with pytest.raises(ValidationError, match=str(path[-1])):
        OVERVIEW.validate_python(changed(ENTRY, path, ...), strict=True)
    without = changed(ENTRY, path, None)
    if path[-1] in NULLABLE or path == ("published", "pages"):
        assert OVERVIEW.validate_python(without, strict=True) == without
    else:
        with pytest.raises(ValidationError):
            OVERVIEW.validate_python(without, strict=True)


@pytest.mark.parametrize("name", list(MISS))
def test_a_miss_has_all_of_its_fields_and_may_lack_its_document_and_its_time(name: str) -> None:
    def listed(miss: dict[str, Any]) -> dict[str, Any]:
        return {"object": "list", "data": [MISS, miss]}

    with pytest.raises(ValidationError, match=name):
        MISSES.validate_python(listed(changed(MISS, (name,), ...)), strict=True)
    without = listed({**MISS, name: None})
    if name in ("document", "ttft_s"):
        assert MISSES.validate_python(without, strict=True) == without
    else:
        with pytest.raises(ValidationError, match=name):
            MISSES.validate_python(without, strict=True)


@pytest.mark.parametrize("admin", [False, True])
async def test_what_a_proxy_sends_is_what_is_listed_and_no_more(admin: bool) -> None:
    query = {"tenant": "all"} if admin else {}
    async with client_of(make_proxy()) as http:
        for _ in range(2):
            response = await http.post("/v1/chat/completions", json=ask("a secret " * 40))
            await response.read()
        overview = await http.get("/kv/v1/overview", params=query)
        misses = await http.get("/kv/v1/misses", params=query)
        told, listed = await overview.json(), await misses.json()
        assert "secret" not in await overview.text() + await misses.text()
    assert told["today"]["hits"] == told["today"]["misses"] == 1 == len(listed["data"])
    # What the types do not list is dropped, and the copy differs.
    assert OVERVIEW.validate_python(told, strict=True) == told
    assert MISSES.validate_python(listed, strict=True) == listed
    assert {miss["cause"] for miss in listed["data"]} <= {cause.value for cause in MissCause}
    assert OVERVIEW.validate_python({**told, "prompt": "?"}, strict=True) == told
