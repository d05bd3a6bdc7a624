"""The arguments that litellm is handed, and its answer after the clean-up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kvproxy.backends.litellm.litellm_arguments import upstream_call
from kvproxy.backends.litellm.openai_cleanup import ChunkCleaner, completion, usage
from kvproxy.backends.litellm.provider_dialect import ProviderDialect, least
from kvproxy.errors import InvalidRequest

MESSAGES = [{"role": "user", "content": "Hi"}]
OWN = ProviderDialect({}, "openai")
FAR = ProviderDialect({}, "foreign")
KINDRED = ProviderDialect({}, "kindred", frozenset(("temperature", "max_tokens")))


def test_a_transparent_upstream_gets_the_body_as_data() -> None:
    body = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": {}, "api_base": "x", "n": 2}
    call = upstream_call("chat/completions", body, OWN)
    assert call.left_out == ()
    assert call.arguments == {
        "model": "m",
        "messages": MESSAGES,
        "extra_body": {"messages": MESSAGES, "api_base": "x", "n": 2},
    }


@pytest.mark.parametrize("upstream", [OWN, FAR, KINDRED])
@pytest.mark.parametrize(
    "name",
    ["api_base", "base_url", "api_key", "custom_llm_provider", "fallbacks", "mock_response", "metadata"],
)
def test_no_field_of_a_body_becomes_a_setting_of_litellm(name: str, upstream: ProviderDialect) -> None:
    call = upstream_call("chat/completions", {"model": "m", "messages": MESSAGES, name: "evil"}, upstream)
    assert name not in call.arguments


def test_another_dialect_gets_the_parameters_that_can_be_translated() -> None:
    body = {"model": "m", "messages": MESSAGES, "temperature": 0.5, "seed": None, "weird": 1, "user": "u"}
    call = upstream_call("chat/completions", body, FAR)
    assert call.left_out == ("weird",)
    assert call.arguments == {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.5,
        "user": "u",
    }


def test_a_service_of_the_same_dialect_gets_the_rest_as_data_but_no_hints() -> None:
    body = {
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "min_p": 0.1,
        "store": True,
    }
    call = upstream_call("chat/completions", {"model": "m", "messages": MESSAGES, **body}, KINDRED)
    assert call.left_out == ("store",)
    assert call.arguments == {
        "model": "m",
        "messages": MESSAGES,
        "temperature": 0.5,
        "max_tokens": 9,
        "extra_body": {"reasoning_effort": "low", "min_p": 0.1},
    }


def test_templates_of_ones_own_server_are_not_sent_a_role_that_they_may_not_know() -> None:
    asked = [{"role": "developer", "content": "Be brief."}, *MESSAGES]
    own = ProviderDialect({}, "openai", own_server=True)
    call = upstream_call("chat/completions", {"model": "m", "messages": asked}, own)
    assert [m["role"] for m in call.arguments["extra_body"]["messages"]] == ["system", "user"]


def test_the_one_that_knows_least_decides_for_all_that_may_answer() -> None:
    assert least([OWN, KINDRED]) == replace(KINDRED, own_messages=False)
    assert least([FAR, OWN, KINDRED]).dialect == "foreign"
    assert least([KINDRED, ProviderDialect({}, "kindred", frozenset(("top_p",)))]).supported == frozenset()


def test_a_conversation_that_nobody_kept_is_refused() -> None:
    chatty = ProviderDialect({}, "openai", chat_only=True)
    with pytest.raises(InvalidRequest) as raised:
        upstream_call("responses", {"model": "m", "input": "Hi", "previous_response_id": "resp_1"}, chatty)
    assert raised.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("fault", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages"),
        ({"messages": [*MESSAGES, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content"),
        ({"tools": "look"}, "tools"),
        ({"tools": [5]}, "tools"),
    ],
)
def test_shapes_that_litellm_trips_over_are_refused(fault: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        upstream_call("chat/completions", {"model": "m", "messages": MESSAGES, **fault}, OWN)
    assert raised.value.param == param


def test_fields_that_litellm_moved_come_back() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": None,
        "function_call": None,
        "provider_specific_fields": {"refusal": "No.", "custom": 1},
    }
    dumped = {
        "id": "1",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "citations": None,
    }
    assert completion(dumped) == {
        "id": "1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": "No.", "custom": 1},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_what_an_upstream_adds_to_an_answer_stays() -> None:
    said = {
        "images": [{"index": 0}],
        "thinking_blocks": [{"type": "thinking"}],
        "citations": ["u"],
        "custom": 1,
    }
    more = {"stop_reason": "x", "token_ids": [1], "content_filter_results": {"hate": {}}}
    choice = {"index": 0, "finish_reason": "stop", "provider_specific_fields": {"moved": 2}, **more}
    whole = completion({"id": "1", "citations": ["v"], "choices": [{**choice, "message": said}]})
    (chunk,) = ChunkCleaner(include_usage=False).clean(
        {"id": "1", "citations": ["v"], "choices": [{**choice, "delta": said}]}
    )
    for answer, name in ((whole, "message"), (chunk, "delta")):
        assert answer["citations"] == ["v"]
        assert answer["choices"][0].items() >= {**more, "moved": 2}.items()
        assert answer["choices"][0][name].items() >= said.items()
        assert "provider_specific_fields" not in answer["choices"][0]


def test_usage_keeps_all_that_is_a_count() -> None:
    assert usage(
        {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": None, "cache_creation_tokens": 1},
            "completion_tokens_details": None,
            "cost": 0.1,
        }
    ) == {
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 2},
        "cost": 0.1,
    }


def test_every_chunk_has_the_first_ones_frame() -> None:
    cleaner = ChunkCleaner(include_usage=False)
    delta = {"index": 0, "delta": {"content": "a", "role": None}, "finish_reason": None}
    chunks = [
        *cleaner.clean({"id": "1", "created": 5, "model": "m", "choices": [delta]}),
        *cleaner.clean({"id": "2", "created": 6, "model": None, "choices": [delta]}),
    ]
    assert chunks[0] == chunks[1]
    assert chunks[0]["choices"] == [
        {"index": 0, "delta": {"content": "a"}, "logprobs": None, "finish_reason": None}
    ]


def test_a_chunk_without_news_is_dropped() -> None:
    empty = {"index": 0, "delta": {"content": None}, "finish_reason": None}
    assert ChunkCleaner(include_usage=True).clean({"id": "1", "choices": [empty]}) == []


def test_a_delta_and_usage_in_one_chunk_become_two() -> None:
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    first, second = ChunkCleaner(include_usage=True).clean(
        {"id": "1", "choices": [last], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    )
    assert (first["choices"][0]["finish_reason"], first["usage"]) == ("stop", None)
    assert (second["choices"], second["usage"]["total_tokens"]) == ([], 2)
