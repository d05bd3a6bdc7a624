from __future__ import annotations

import json
import random
from typing import Any

import pytest

from kvproxy.backends.fleet.completion_chunks import read_chunk
from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.sse_lines import MOST_BYTES, EventTooLong, SseLines
from kvproxy.events import TextDelta


def chunk(
    text: str = "",
    tokens: int | None = None,
    finish: str | None = None,
    stop: Any = None,
    logprobs: Any = None,
) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": finish, "stop_reason": stop, "logprobs": logprobs}
    usage = (
        {}
        if tokens is None
        else {"usage": {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 9}}
    )
    return json.dumps(
        {"id": "x", "object": "text_completion", "choices": [choice], **usage}, ensure_ascii=False
    ).encode()


def final(tokens: int, cached: int | None = 3) -> bytes:
    details = {} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens, **details}
    return json.dumps({"choices": [], "usage": usage, "system_fingerprint": "vllm-0.32.0-1"}).encode()


def read(reader: CompletionReader, *payloads: bytes) -> list[TextDelta]:
    found = [delta for one in payloads if (delta := reader.read(read_chunk(one))) is not None]
    rest = reader.rest()
    return found if rest is None else [*found, rest]


def test_tokens_without_text_are_counted_with_the_next_text() -> None:
    reader = CompletionReader()
    deltas = read(reader, chunk("", 1), chunk("", 2), chunk("Grüß", 4), chunk("", 5, "stop"), final(5))
    assert [(d.text, d.tokens) for d in deltas] == [("Grüß", 4)]
    assert (reader.generated, reader.reason, reader.cached_tokens) == (5, "stop", 3)
    assert reader.fingerprint == "vllm-0.32.0-1"


def test_a_replica_without_counts_in_its_chunks_is_counted_at_the_end() -> None:
    reader = CompletionReader()
    read(reader, chunk("a"), chunk("b"), chunk("", finish="length"), final(7, None))
    assert (reader.generated, reader.reason, reader.cached_tokens) == (7, "length", None)


@pytest.mark.parametrize(("stop", "named"), [(" three", " three"), (2, None), (None, None)])
def test_only_a_stop_string_is_named(stop: object, named: str | None) -> None:
    reader = CompletionReader()
    read(reader, chunk("one", 1), chunk("", 2, "stop", stop), final(2))
    assert reader.stopped_by == named


def test_an_answer_that_the_replica_gives_up_has_no_reason() -> None:
    reader = CompletionReader()
    read(reader, chunk("one", 1), chunk("", 1, "abort"))
    assert (reader.reason, reader.aborted) == (None, "abort")


def logprobs(*tokens: int) -> dict[str, Any]:
    return {
        "tokens": [f"token_id:{t}" for t in tokens],
        "token_logprobs": [-0.5 for _ in tokens],
        "top_logprobs": [{f"token_id:{t}": -0.5, "token_id:8": -0.1, "token_id:9": -3.0} for t in tokens],
        "text_offset": [0 for _ in tokens],
    }


def test_logprobs_have_the_likeliest_first_and_no_more_than_asked_for() -> None:
    reader = CompletionReader(lambda id: str(id).encode(), 2)
    (delta,) = read(reader, chunk("ab", 2, logprobs=logprobs(4, 5)))
    assert [one.chosen.text for one in delta.logprobs] == [b"4", b"5"]
    assert [(top.token_id, top.logprob) for top in delta.logprobs[0].top] == [(8, -0.1), (4, -0.5)]


def test_the_end_tokens_logprob_is_left_out_and_a_stop_strings_are_not() -> None:
    reader = CompletionReader(lambda id: b"", 0)
    deltas = read(reader, chunk("a", 1, logprobs=logprobs(4)), chunk("", 2, "stop", None, logprobs(2)))
    assert [len(d.logprobs) for d in deltas] == [1]
    reader = CompletionReader(lambda id: b"", 0)
    deltas = read(reader, chunk("a", 1, logprobs=logprobs(4)), chunk("", 2, "stop", "x", logprobs(7)))
    assert [one.chosen.token_id for d in deltas for one in d.logprobs] == [4, 7]


@pytest.mark.parametrize("seed", range(8))
def test_events_are_whole_however_the_bytes_are_cut(seed: int) -> None:
    payloads = [chunk("Ελλάδα 👩‍👩‍👧", 3), chunk("ü", 4), b"[DONE]"]
    stream = b": hello\n\n" + b"".join(
        b"data: " + p + (b"\r\n\r\n" if seed % 2 else b"\n\n") for p in payloads
    )
    rng, lines, found = random.Random(seed), SseLines(), []
    while stream:
        cut = rng.randint(1, 7)
        found += lines.feed(stream[:cut])
        stream = stream[cut:]
    assert found == payloads


def test_an_event_without_an_end_is_refused() -> None:
    with pytest.raises(EventTooLong):
        SseLines().feed(b"data: " + b"x" * (MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"cached_tokens": 896, "created_cache_tokens": 128}, (896, 128)),
        ({"cached_tokens": 896, "created_cache_tokens": None}, (896, None)),
        ({"cached_tokens": None}, (None, None)),
        (None, (None, None)),
    ],
)
def test_a_replicas_own_counts_are_read_where_it_tells_them(
    details: dict[str, Any] | None, told: tuple[int | None, int | None]
) -> None:
    usage = {"prompt_tokens": 1003, "completion_tokens": 1, "prompt_tokens_details": details}
    reader = CompletionReader()
    read(reader, chunk("x", 1, "stop"), json.dumps({"choices": [], "usage": usage}).encode())
    assert (reader.cached_tokens, reader.created_tokens) == told


def test_what_a_replica_keeps_is_read_where_it_says_so() -> None:
    reader = CompletionReader()
    usage = {
        "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 0, "created_cache_tokens": 256},
    }
    read(reader, chunk("a", 1, "stop"), json.dumps({"choices": [], "usage": usage}).encode())
    assert (reader.cached_tokens, reader.created_tokens) == (0, 256)
    assert CompletionReader().created_tokens is None
