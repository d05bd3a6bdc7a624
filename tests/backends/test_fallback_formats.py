"""A fallback is told what the answer has to look like, or is not asked."""

from __future__ import annotations

from kvproxy.backends.litellm.fallback import with_format

PLAIN = {"messages": [], "structured_outputs": {"regex": "a"}}


def test_an_engine_of_openais_dialect_is_told() -> None:
    sampling = {"temperature": 1.0, "extra_body": {"top_k": 3}}
    assert with_format(PLAIN, sampling, transparent=True) == {
        "messages": [],
        "temperature": 1.0,
        "extra_body": {"top_k": 3, "structured_outputs": {"regex": "a"}},
    }


def test_another_upstream_is_not_asked() -> None:
    told = with_format(PLAIN, {"temperature": 1.0}, transparent=False)
    assert told == {"messages": [], "temperature": 1.0, "disable_fallbacks": True}


def test_where_nothing_is_asked_for_nothing_changes() -> None:
    assert with_format({"messages": []}, {"top_p": 1}, transparent=False) == {"messages": [], "top_p": 1}
