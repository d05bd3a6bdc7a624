from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.events import Usage
from kvproxy.wire.upstream_events import Dialect
from kvproxy.wire.upstream_usage import RawUsage, UpstreamCounts

OPENAI = {"prompt_tokens": 900, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 512}}
RESPONSES = {"input_tokens": 900, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 512}}
ANTHROPIC = {
    "input_tokens": 300,
    "cache_read_input_tokens": 512,
    "cache_creation_input_tokens": 88,
    "output_tokens": 20,
}
WHOLE: list[tuple[Dialect, dict[str, Any]]] = [
    ("chat/completions", OPENAI),
    ("completions", OPENAI),
    ("responses", RESPONSES),
    ("messages", ANTHROPIC),
]


@pytest.mark.parametrize(("endpoint", "usage"), WHOLE)
def test_a_whole_answers_usage_in_each_dialect(endpoint: Dialect, usage: dict[str, Any]) -> None:
    counts = UpstreamCounts(endpoint, 4000)
    counts.see({"usage": usage})
    assert counts.usage() == Usage(900, 20, 512)


def test_anthropics_usage_comes_in_two_events() -> None:
    counts = UpstreamCounts("messages", 4000)
    counts.see({"type": "message_start", "message": {"usage": {**ANTHROPIC, "output_tokens": 1}}})
    counts.see({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}})
    counts.see({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Ho"}})
    assert counts.usage() == Usage(900, 2, 512), "a client that leaves now pays for two pieces"
    counts.see({"type": "message_delta", "usage": {"output_tokens": 20}})
    counts.see({"type": "message_stop"})
    assert counts.ended and counts.usage() == Usage(900, 20, 512)


def test_an_upstream_without_usage_is_estimated() -> None:
    counts = UpstreamCounts("chat/completions", 401)
    counts.see({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    for text in ("a", "b", "c"):
        counts.see({"choices": [{"delta": {"content": text}}]})
    counts.see({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert counts.usage() == Usage(101, 3, 0) and not counts.reported


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": -5}, {"prompt_tokens": True}, {"prompt_tokens": 3.5}, {"prompt_tokens": "9"}, []],
)
def test_a_report_that_is_no_count_is_none(usage: Any) -> None:
    counts = UpstreamCounts("chat/completions", 400)
    counts.see({"usage": usage, "choices": [{"text": "x"}]})
    assert counts.usage() == Usage(100, 1, 0)


def test_more_cached_than_sent_is_cut() -> None:
    counts = UpstreamCounts("responses", 400)
    counts.see({"usage": {**RESPONSES, "input_tokens": 100}})
    assert counts.usage() == Usage(100, 20, 100)


STREAM = b"".join(
    b"data: " + json.dumps(value).encode() + b"\n\n"
    for value in [
        {"choices": [{"delta": {"content": 'he said "usage"'}}], "usage": None},
        {"choices": [{"delta": {"content": "message_stop"}}]},
        {"choices": [], "usage": OPENAI},
    ]
)


@given(st.lists(st.integers(1, len(STREAM) + 14), max_size=8))
def test_any_split_of_a_raw_stream_gives_its_usage(cuts: list[int]) -> None:
    whole = STREAM + b"data: [DONE]\n\n"
    counts = UpstreamCounts("chat/completions", 400)
    raw = RawUsage(counts, events=True)
    edges = [0, *sorted(cuts), len(whole)]
    for begin, end in pairwise(edges):
        for value in raw.lines(whole[begin:end]):
            raw.decode(value)
    assert counts.ended and counts.usage() == Usage(900, 20, 512)


def test_a_raw_answer_is_read_at_its_end() -> None:
    counts = UpstreamCounts("chat/completions", 400)
    raw = RawUsage(counts, events=False)
    # A schema that is echoed may name a property "usage": only the answer's own counts.
    whole = json.dumps({"tools": [{"usage": {"prompt_tokens": 1}}], "usage": OPENAI}).encode()
    assert raw.lines(whole[:20]) == raw.lines(whole[20:]) == []
    for value in raw.rest():
        raw.decode(value)
    assert counts.usage() == Usage(900, 20, 512)


def test_what_is_no_json_is_skipped() -> None:
    counts = UpstreamCounts("chat/completions", 400)
    raw = RawUsage(counts, events=True)
    for value in raw.lines(b'data: {"usage": broken\n\n'):
        raw.decode(value)
    assert not counts.reported


def test_names_are_bounded_and_never_text() -> None:
    counts = UpstreamCounts("chat/completions", 400)
    choices = [{"index": n, "finish_reason": "x" * 999, "message": {"content": "words"}} for n in range(999)]
    counts.see({"id": "i" * 999, "model": "m" * 999, "choices": choices})
    counts.see({"id": 7, "model": None, "choices": [{"index": "no", "finish_reason": ["list"]}, "no"]})
    names = counts.names
    assert (names.id, names.model) == ("i" * 128, "m" * 128)
    assert len(names.reasons) == 128 and set(names.reasons.values()) == {"x" * 128}
    assert names.first_at is not None and "words" not in repr(names)


def test_the_counts_that_are_told_and_not_billed() -> None:
    counts = UpstreamCounts("chat/completions", 400)
    details = {"completion_tokens_details": {"reasoning_tokens": 7}}
    counts.see({"usage": {**OPENAI, **details}})
    assert (counts.reasoning, counts.cache_writes) == (7, 0)
    counts = UpstreamCounts("messages", 400)
    counts.see({"usage": ANTHROPIC})
    assert counts.cache_writes == 88 and counts.usage() == Usage(900, 20, 512), "billed as before"
