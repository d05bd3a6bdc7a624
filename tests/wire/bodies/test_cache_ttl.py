from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import CacheHints
from kvproxy.wire.anthropic.parse_messages import parse_messages
from kvproxy.wire.bodies.cache_ttl import longest_mark_ttl, ttl_seconds, with_mark_ttl
from kvproxy.wire.chat.parse_chat import parse_chat

HOUR = {"type": "ephemeral", "ttl": "1h"}
SHORT = {"type": "ephemeral", "ttl": "5m"}
HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5m", 300), ("30m", 1800), ("1h", 3600), ("24h", 86_400)]
    + [(x, None) for x in ("in_memory", "", "2h", None, 5, ["5m"])],
)
def test_only_what_providers_define_is_understood(value: Any, seconds: int | None) -> None:
    assert ttl_seconds(value) == seconds


@pytest.mark.parametrize(
    "body",
    [
        {"cache_control": HOUR},
        {"system": [{"type": "text", "cache_control": HOUR}], "cache_control": SHORT},
        {"tools": [{"name": "x", "cache_control": HOUR}]},
        {"messages": [{"content": [{"cache_control": SHORT}, {"cache_control": HOUR}]}]},
        {"messages": [{"cache_control": HOUR, "content": "x"}]},
    ],
)
def test_the_longest_of_all_marks_counts(body: dict[str, Any]) -> None:
    assert longest_mark_ttl(body) == 3600
    assert with_mark_ttl(CacheHints(), body).ttl_s == 3600
    assert with_mark_ttl(CacheHints(ttl_s=300), body).ttl_s == 300, "the dialect's own field goes first"


@pytest.mark.parametrize(
    "body", [{}, {"messages": 5}, {"messages": [5, {"content": {"a": 1}}]}, {"cache_control": {"ttl": "?"}}]
)
def test_a_body_of_any_shape_is_looked_through(body: dict[str, Any]) -> None:
    assert longest_mark_ttl(body) is None


def test_both_dialects_hand_the_wish_on() -> None:
    chat: dict[str, Any] = {"model": "m", "messages": [HI]}
    assert parse_chat(chat, served_name="m").cache.ttl_s is None
    assert parse_chat({**chat, "prompt_cache_retention": "24h"}, served_name="m").cache.ttl_s == 86_400
    assert parse_chat({**chat, "prompt_cache_retention": "in_memory"}, served_name="m").cache.ttl_s is None
    options = {"prompt_cache_options": {"ttl": "30m"}, "prompt_cache_retention": "24h"}
    assert parse_chat({**chat, **options}, served_name="m").cache.ttl_s == 1800
    marked = {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": HOUR}]}
    assert parse_chat({**chat, "messages": [marked]}, served_name="m").cache.ttl_s == 3600
    message = parse_messages({"model": "m", "max_tokens": 5, "messages": [marked]})
    assert message.cache.ttl_s == 3600
