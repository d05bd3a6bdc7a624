from __future__ import annotations

from typing import Any

import pytest

from kvproxy.core import CacheHints
from kvproxy.wire.bodies.cache_hints import CacheBody


@pytest.mark.parametrize(
    ("body", "hints"),
    [
        ({}, CacheHints()),
        ({"prompt_cache_key": "k", "cache_salt": "s"}, CacheHints("k", "s")),
        ({"prompt_cache_options": {"cache_salt": "o"}}, CacheHints(salt="o")),
        ({"cache_salt": "s", "prompt_cache_options": {"cache_salt": "o"}}, CacheHints(salt="s")),
        ({"prompt_cache_options": {"mode": "explicit"}}, CacheHints(explicit=True)),
        ({"prompt_cache_retention": "24h"}, CacheHints(ttl_s=86_400)),
        ({"prompt_cache_retention": "24h", "prompt_cache_options": {"ttl": "5m"}}, CacheHints(ttl_s=300)),
        ({"prompt_cache_options": {"ttl": "for ever"}}, CacheHints()),
    ],
)
def test_the_fields_of_a_body_are_hints(body: dict[str, Any], hints: CacheHints) -> None:
    assert CacheBody.model_validate(body).hints() == hints


def test_nothing_is_retained_where_the_policy_says_so() -> None:
    assert CacheBody().hints(retain=False) == CacheHints(retain=False)
