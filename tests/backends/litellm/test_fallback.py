"""A stand-in's chunks become the events that an engine would have sent."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.backends.litellm.fallback import FallbackReader, sampling_arguments
from kvproxy.core import Sampling
from kvproxy.events import (
    Finished,
    Likelihood,
    ReasoningDelta,
    Started,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

START = Started(cached_tokens=0, collapsed=False, queue_s=0.0, load_s=0.0, prefill_s=0.0, parsed=True)


def test_events_in_order() -> None:
    reader = FallbackReader()
    assert reader.read({"choices": [{"delta": {"role": "assistant", "content": ""}}]}) == [START]
    assert reader.read({"choices": [{"delta": {"content": "Hi"}}]}) == [TextDelta("Hi")]
    assert reader.read({"choices": [{"delta": {}, "finish_reason": "length"}]}) == []
    counts = {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}
    assert reader.read({"choices": [], "usage": counts}) == []
    assert reader.finished() == Finished("length", Usage(5, 1, 2, 0))


def test_a_refusal_is_not_an_empty_answer() -> None:
    chunk = {"choices": [{"delta": {"content": None, "refusal": "I won't."}}]}
    assert FallbackReader().read(chunk) == [START, TextDelta("I won't.")]


def test_a_stream_without_usage_counts_nothing() -> None:
    assert FallbackReader().finished() == Finished("stop", Usage(0, 0, 0, 0))


def test_reasoning_calls_and_logprobs() -> None:
    reader = FallbackReader()
    likely = {"token": "a", "logprob": -0.5, "bytes": [97]}
    content = {"content": [{**likely, "top_logprobs": [likely]}]}
    first = {"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}
    deltas: list[dict[str, Any]] = [
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"content": "a"}, "logprobs": content},
        {"delta": {"tool_calls": [first]}},
        {
            "delta": {
                "tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "", "arguments": "{}"}}]
            }
        },
        {"delta": {}, "finish_reason": "tool_calls"},
    ]
    events = [event for delta in deltas for event in reader.read({"choices": [delta]})]
    a = Likelihood(-1, b"a", -0.5)
    assert events[1:] == [
        ReasoningDelta("hm"),
        TextDelta("a", 1, (TokenLogprob(a, (a,)),)),
        ToolCallDelta(0, "call_1", "look", ""),
        ToolCallDelta(0, None, None, "{}"),
    ]
    assert reader.finished().reason == "tool_calls"


@pytest.mark.parametrize(
    ("given", "reason"),
    [("content_filter", "content_filter"), ("function_call", "tool_calls"), ("eos", "stop")],
)
def test_finish_reasons(given: str, reason: str) -> None:
    reader = FallbackReader()
    reader.read({"choices": [{"delta": {}, "finish_reason": given}]})
    assert reader.finished().reason == reason


def test_only_what_was_asked_for_is_sent() -> None:
    assert sampling_arguments(Sampling(), transparent=True) == {"temperature": 1.0, "top_p": 1.0}
    asked = Sampling(
        temperature=0.0,
        top_p=0.5,
        top_k=7,
        seed=1,
        max_tokens=2,
        stop=("a",),
        presence_penalty=1.0,
        logprobs=0,
    )
    known = {
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 1,
        "max_tokens": 2,
        "stop": ["a"],
        "presence_penalty": 1.0,
        "logprobs": True,
    }
    assert sampling_arguments(asked, transparent=False) == known
    assert sampling_arguments(asked, transparent=True) == {**known, "extra_body": {"top_k": 7}}


def test_token_ids_of_this_vocabulary_go_nowhere_else() -> None:
    asked = Sampling(logit_bias=((1, 2.0),), stop_token_ids=(3,))
    assert sampling_arguments(asked, transparent=True) == {"temperature": 1.0, "top_p": 1.0}
