"""A stand-in's chunks become the events that an engine would have sent."""

from __future__ import annotations

from kvproxy.backends.fallback import FallbackReader, sampling_arguments
from kvproxy.core import Finished, Sampling, Started, TextDelta, Usage

START = Started(cached_tokens=0, collapsed=False, queue_s=0.0, load_s=0.0, prefill_s=0.0)


def test_events_in_order() -> None:
    reader = FallbackReader()
    assert reader.read({"choices": [{"delta": {"role": "assistant", "content": ""}}]}) == [START]
    assert reader.read({"choices": [{"delta": {"content": "Hi"}}]}) == [TextDelta("Hi")]
    assert reader.read({"choices": [{"delta": {}, "finish_reason": "length"}]}) == []
    counts = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}
    assert reader.read({"choices": [], "usage": counts}) == []
    assert reader.finished() == Finished("length", Usage(5, 1, 2, 0))


def test_a_stream_without_usage_counts_nothing() -> None:
    assert FallbackReader().finished() == Finished("stop", Usage(0, 0, 0, 0))


def test_only_what_was_asked_for_is_sent() -> None:
    assert sampling_arguments(Sampling()) == {"temperature": 1.0, "top_p": 1.0}
    assert sampling_arguments(Sampling(temperature=0.0, top_p=0.5, top_k=7, seed=1, max_tokens=2, stop=("a",))) == {
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 1,
        "max_tokens": 2,
        "stop": ["a"],
    }
