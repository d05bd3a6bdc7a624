"""The time to live that a client wants for its prompt: ``ttl`` of OpenAI's options, ``ttl`` of Anthropic's marks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kvproxy.core import CacheHints

_SECONDS = {"5m": 300, "30m": 1800, "1h": 3600, "24h": 86_400}
"""The values of the providers' own documentation. Any other is a wish that is not understood, and changes nothing."""


def ttl_seconds(value: object) -> int | None:
    """Return the seconds of a time to live; None for one that says nothing: ``in_memory``, or an unknown text."""
    return _SECONDS.get(value) if isinstance(value, str) else None


def longest_mark_ttl(body: dict[str, Any]) -> int | None:
    """Return the longest ``cache_control.ttl`` of a body, in seconds, wherever the dialects have marks.

    Linear in the number of messages and parts; a body of any shape is looked through.

    Example: ``longest_mark_ttl({"cache_control": {"type": "ephemeral", "ttl": "1h"}})`` is 3600.
    """
    found = (ttl_seconds(mark.get("ttl")) for mark in _marks(body))
    return max((ttl for ttl in found if ttl is not None), default=None)


def with_mark_ttl(hints: CacheHints, body: dict[str, Any]) -> CacheHints:
    """Return the hints with the longest time to live of the body's marks, where the hints have none.

    Example: ``with_mark_ttl(CacheHints(), {"cache_control": {"type": "ephemeral", "ttl": "5m"}}).ttl_s`` is 300.
    """
    ttl = None if hints.ttl_s is not None else longest_mark_ttl(body)
    return hints if ttl is None else replace(hints, ttl_s=ttl)


def _marks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for marked in _markable(body):
        mark = marked.get("cache_control")
        if isinstance(mark, dict):
            yield mark


def _markable(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield body
    for name in ("system", "tools", "messages"):
        for item in _objects(body.get(name)):
            yield item
            yield from _objects(item.get("content"))


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
