"""``/v1/completions`` of the fake replica and of vLLM: shapes, counts, stops, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from kvproxy.fake_replica.replica_text import ModelText
from tests.fake_replica.contract.asked_replica import BLOCK, CONTEXT, MODEL, AskedReplica, cached, shape

DETAILS = {"cached_tokens": "int", "created_cache_tokens": None, "multimodal_tokens": None}
USAGE = {
    "prompt_tokens": "int",
    "total_tokens": "int",
    "completion_tokens": "int",
    "prompt_tokens_details": DETAILS,
    "completion_tokens_details": None,
}
CHOICE = {
    "index": "int",
    "text": "str",
    "logprobs": None,
    "finish_reason": "str",
    "stop_reason": None,
    "token_ids": None,
    "prompt_logprobs": None,
    "prompt_token_ids": None,
    "routed_experts": None,
}
HEAD = {"id": "str", "object": "str", "created": "int", "model": "str"}
WHOLE = {
    **HEAD,
    "choices": [CHOICE],
    "service_tier": None,
    "system_fingerprint": "str",
    "usage": USAGE,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "metrics": None,
}
STREAM_CHOICE = {
    "index": "int",
    "text": "str",
    "logprobs": None,
    "finish_reason": None,
    "stop_reason": None,
    "prompt_token_ids": None,
    "token_ids": None,
}
PLAIN_USAGE = {"prompt_tokens": "int", "total_tokens": "int", "completion_tokens": "int"}
LOGPROBS = {
    "text_offset": ["int"],
    "token_logprobs": ["float"],
    "tokens": ["str"],
}
USAGE_ON: dict[str, Any] = {"stream_options": {"include_usage": True}}


def test_a_whole_answer_has_vllms_fields(replica: AskedReplica) -> None:
    answer = replica.complete(replica.prompt(40))
    assert shape(answer) == WHOLE
    assert answer["object"] == "text_completion"
    assert answer["id"].startswith("cmpl-")
    assert answer["model"] == MODEL
    assert answer["usage"]["total_tokens"] == 40 + answer["usage"]["completion_tokens"]


def test_the_chunks_of_a_stream_have_vllms_fields(replica: AskedReplica) -> None:
    *chunks, last, usage = replica.chunks(replica.prompt(40), **USAGE_ON)
    assert [shape(one) for one in chunks] == [{**HEAD, "choices": [STREAM_CHOICE]}] * 3
    assert shape(last) == {**HEAD, "choices": [{**STREAM_CHOICE, "finish_reason": "str"}]}
    details = {"prompt_tokens_details": {"cached_tokens": "int"}}
    end = {"usage": {**PLAIN_USAGE, **details}, "system_fingerprint": "str"}
    assert shape(usage) == {**HEAD, "choices": [], **end}


def test_without_usage_the_last_token_has_the_fingerprint(replica: AskedReplica) -> None:
    chunks = replica.chunks(replica.prompt(40))
    assert ["system_fingerprint" in one for one in chunks] == [False, False, False, True]
    assert not any("usage" in one for one in chunks)


def test_continuous_usage_counts_each_chunk_without_details(replica: AskedReplica) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    *chunks, last = replica.chunks(replica.prompt(40), stream_options=options)
    assert [one["usage"] for one in chunks] == [
        {"prompt_tokens": 40, "total_tokens": 40 + n, "completion_tokens": n} for n in (1, 2, 3, 4)
    ]
    assert cached(last) == 0


def test_a_stream_says_what_a_whole_answer_says(replica: AskedReplica) -> None:
    prompt = replica.prompt(40)
    whole = replica.complete(prompt, return_token_ids=True, max_tokens=8)
    chunks = replica.chunks(prompt, return_token_ids=True, max_tokens=8)
    assert "".join(one["choices"][0]["text"] for one in chunks) == whole["choices"][0]["text"]
    tokens = [token for one in chunks for token in one["choices"][0]["token_ids"]]
    assert tokens == whole["choices"][0]["token_ids"]
    prompts = [one["choices"][0]["prompt_token_ids"] for one in chunks]
    assert prompts == [prompt, *[None] * (len(chunks) - 1)]
    assert whole["choices"][0]["prompt_token_ids"] == prompt


@pytest.mark.parametrize(
    ("tokens", "hit"), [(20, 0), (BLOCK, 0), (BLOCK + 1, BLOCK), (100, 3 * BLOCK), (128, 96)]
)
def test_a_second_read_is_cached_in_whole_blocks_but_for_its_last_token(
    replica: AskedReplica, tokens: int, hit: int
) -> None:
    prompt = replica.prompt(tokens)
    first, second = replica.complete(prompt), replica.complete(prompt)
    assert (cached(first), cached(second)) == (0, hit)
    assert first["choices"] == second["choices"]
    assert cached(replica.chunks(prompt, **USAGE_ON)[-1]) == hit


def test_salts_share_nothing(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    replica.complete(prompt)
    assert cached(replica.complete(prompt, cache_salt="one-_9")) == 0
    assert cached(replica.complete(prompt, cache_salt="one-_9")) == 64
    assert cached(replica.complete(prompt, cache_salt="x" * 128)) == 0


def test_choices_share_their_prompt(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    whole = replica.complete(prompt, n=2, temperature=1, seed=7)
    assert [one["index"] for one in whole["choices"]] == [0, 1]
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (70, 8)
    chunks = replica.chunks(replica.prompt(70), n=2, temperature=1, seed=7, **USAGE_ON)
    assert sorted({one["choices"][0]["index"] for one in chunks[:-1]}) == [0, 1]
    assert chunks[-1]["usage"]["completion_tokens"] == 8


def test_logprobs_by_token_ids(replica: AskedReplica) -> None:
    fields: dict[str, Any] = {"logprobs": 2, "return_tokens_as_token_ids": True, "return_token_ids": True}
    choice = replica.complete(replica.prompt(40), **fields)["choices"][0]
    told = choice["logprobs"]
    assert shape({name: told[name] for name in LOGPROBS}) == LOGPROBS
    assert told["tokens"] == [f"token_id:{token}" for token in choice["token_ids"]]
    for token, value, top in zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True):
        assert (len(top), top[token]) == (2, value)
        assert all(name.startswith("token_id:") for name in top)
    streamed = replica.chunks(replica.prompt(40), **fields)
    assert all(len(one["choices"][0]["logprobs"]["tokens"]) == 1 for one in streamed)


def test_no_alternatives_still_tell_the_chosen_token(replica: AskedReplica) -> None:
    told = replica.complete(replica.prompt(40), logprobs=0)["choices"][0]["logprobs"]
    assert [len(top) for top in told["top_logprobs"]] == [1] * 4


def test_a_stop_text_is_cut_off_and_named(replica: AskedReplica) -> None:
    prompt = replica.prompt(40)
    said = replica.complete(prompt, max_tokens=8)["choices"][0]["text"]
    stop = said[len(said) // 2 :][:2]
    choice = replica.complete(prompt, max_tokens=8, stop=["never said", stop])["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (said[: said.index(stop)], "stop")
    assert choice["stop_reason"] == stop
    chunks = replica.chunks(prompt, max_tokens=8, stop=["never said", stop])
    assert "".join(one["choices"][0]["text"] for one in chunks) == choice["text"]
    assert chunks[-1]["choices"][0]["stop_reason"] == stop


def test_a_stop_token_is_named_and_counted_and_not_shown(replica: AskedReplica) -> None:
    prompt = replica.prompt(40)
    said = replica.complete(prompt, max_tokens=8, return_token_ids=True)["choices"][0]
    stop = said["token_ids"][3]
    end = said["token_ids"].index(stop) + 1
    choice = replica.complete(prompt, max_tokens=8, stop_token_ids=[stop], return_token_ids=True)["choices"][
        0
    ]
    assert choice["token_ids"] == said["token_ids"][:end]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)
    assert said["text"].startswith(choice["text"])


def test_without_an_end_an_answer_goes_on_to_its_length(replica: AskedReplica) -> None:
    answer = replica.complete(replica.prompt(40), max_tokens=40, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 40
    assert answer["choices"][0]["finish_reason"] == "length"


def test_an_answer_ends_where_the_context_does(replica: AskedReplica) -> None:
    answer = replica.complete(replica.prompt(CONTEXT - 3), max_tokens=100, ignore_eos=True)
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_text_is_its_tokens(replica: AskedReplica, text: ModelText) -> None:
    said = "A text with a mark <|im_start|> in it."
    answer = replica.complete(said, return_token_ids=True)
    assert answer["choices"][0]["prompt_token_ids"] == text.encode(said)


@pytest.mark.parametrize(
    "wanted",
    [
        {"choice": ["yes", "no"]},
        {"regex": "[a-c]{3}"},
        {"grammar": 'start: "yes" | "no" "pe"\n'},
        {"grammar": 'start: /[a-c]{3}/ %json {"type": "array", "items": {"const": 1}, "maxItems": 2}\n'},
        # A small model says blanks without end where it may; vLLM has no switch of that for one request.
        {"json": {"enum": [{"a": True}], "x-guidance": {"whitespace_flexible": False}}},
    ],
    ids=["choice", "regex", "lark", "lark-json", "json"],
)
def test_answers_are_held_to_a_structure(replica: AskedReplica, wanted: dict[str, Any]) -> None:
    answer = replica.complete(replica.prompt(40), max_tokens=64, structured_outputs=wanted)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["text"]


LONG = [7] * (CONTEXT + 1)
REFUSALS = [
    (
        {"max_tokens": 0},
        "max_tokens",
        "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
    ),
    (
        {"cache_salt": "handbook@3"},
        "cache_salt",
        "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\\\', or NUL. "
        "(parameter=cache_salt)",
    ),
    (
        {"cache_salt": ""},
        "cache_salt",
        "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)",
    ),
    ({"prompt": []}, None, "You must pass at least one prompt"),
    (
        {"prompt": LONG},
        "input_tokens",
        f"This model's maximum context length is {CONTEXT} tokens. However, your prompt contains at least "
        f"{CONTEXT + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
        f"length of the input prompt. (parameter=input_tokens, value={CONTEXT + 1})",
    ),
    (
        {"prompt": LONG[1:]},
        "max_tokens",
        "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
    ),
    (
        USAGE_ON,
        "stream_options",
        "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
    ),
    (
        {"logprobs": -2},
        "logprobs",
        "`logprobs` must be a positive value or -1. (parameter=logprobs, value=-2)",
    ),
    (
        {"logprobs": 50},
        "logprobs",
        "Requested sample logprobs of 50, which is greater than max allowed: 20 (parameter=logprobs, value=50)",
    ),
    ({"n": 0}, None, "n must be at least 1, got 0."),
    (
        {"temperature": -1},
        "temperature",
        "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
    ),
]


@pytest.mark.parametrize(("fields", "param", "message"), REFUSALS)
def test_refusals_name_field_and_value(
    replica: AskedReplica, fields: dict[str, Any], param: str | None, message: str
) -> None:
    answer = replica.post("/v1/completions", {"model": MODEL, "prompt": [7, 8, 9], **fields})
    error = {"message": message, "type": "BadRequestError", "param": param, "code": 400}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    ("fields", "param"), [({"max_tokens": "x"}, "body.max_tokens"), ({"prompt": [-1]}, "body.prompt.0")]
)
def test_fields_that_do_not_parse_name_their_place(
    replica: AskedReplica, fields: dict[str, Any], param: str
) -> None:
    answer = replica.post("/v1/completions", {"prompt": [7, 8, 9], **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "Bad Request", param)
    assert "validation error" in error["message"]


def test_two_structures_are_refused(replica: AskedReplica) -> None:
    body = {"prompt": [7, 8, 9], "structured_outputs": {"json": {}, "regex": "a"}}
    error = replica.post("/v1/completions", body).json()["error"]
    assert (error["param"], error["code"]) == ("structured_outputs", 400)


def test_a_grammar_that_is_none_is_refused(replica: AskedReplica) -> None:
    body = {"prompt": [7, 8, 9], "structured_outputs": {"grammar": "start: ("}}
    answer = replica.post("/v1/completions", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "BadRequestError"
