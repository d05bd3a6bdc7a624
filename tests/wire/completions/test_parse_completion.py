"""Text completion bodies, and the answers to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvproxy.core import CacheHints, Sampling, TextRequest
from kvproxy.errors import InvalidRequest, ModelNotFound, Overloaded, UnsupportedParameter
from kvproxy.events import Finished, Likelihood, Started, TextDelta, TokenLogprob, Usage
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.completions.completion_response import (
    CompletionHead,
    CompletionStream,
    sum_usages,
    text_completion,
    token_text,
)
from kvproxy.wire.completions.parse_completion import Completions, parse_completions

HEAD = CompletionHead("cmpl-1", 7, "m")
STARTED = Started(0, False, 0.0, 0.0, 0.0)


def parse(**body: Any) -> Completions:
    return parse_completions({"model": "m", "prompt": "Hi", **body}, served_name="m")


def test_the_defaults() -> None:
    assert parse() == Completions((TextRequest("m", "Hi", Sampling(max_tokens=16)),), False, False, False)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [(1, 2)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
    ],
)
def test_prompts_of_every_shape(prompt: Any, prompts: list[Any]) -> None:
    assert [p.prompt for p in parse(prompt=prompt).prompts] == prompts


@pytest.mark.parametrize(
    "prompt",
    [None, 5, "", [], [""], [[]], ["a", 1], [1, "a"], [[1], "a"], [-1], [True], [1.0], {"a": 1}, ["a"] * 129],
)
def test_prompts_that_are_none(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(prompt=prompt)
    assert raised.value.param == "prompt"


def test_every_field() -> None:
    asked = parse(
        max_tokens=5,
        temperature=0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        n=2,
        best_of=2,
        stream=True,
        stream_options={"include_usage": True},
        logprobs=0,
        stop="x",
        presence_penalty=1,
        frequency_penalty=-1,
        repetition_penalty=1.1,
        logit_bias={"7": -100, "3": 1.5},
        seed=4,
        user="u",
        suffix=None,
        min_tokens=2,
        ignore_eos=True,
        stop_token_ids=[9],
        prompt_cache_key="k",
        prompt_cache_options={"mode": "explicit"},
        made_up=1,
    )
    sampling = Sampling(
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        repetition_penalty=1.1,
        logit_bias=((3, 1.5), (7, -100.0)),
        seed=4,
        max_tokens=5,
        min_tokens=2,
        ignore_eos=True,
        stop=("x",),
        stop_token_ids=(9,),
        logprobs=0,
    )
    assert asked == Completions(
        (TextRequest("m", "Hi", sampling, 2, CacheHints("k", explicit=True)),), True, True, False
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"echo": True, "logprobs": 0}, "echo"),
        ({"prompt_logprobs": 1}, "prompt_logprobs"),
    ],
)
def test_an_unsupported_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as raised:
        parse(**body)
    assert raised.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"logprobs": 6}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"n": 0}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(**body)
    assert raised.value.param == param


def test_another_model() -> None:
    with pytest.raises(ModelNotFound):
        parse(model="x")


def likely(text: bytes, logprob: float) -> Likelihood:
    return Likelihood(1, text, logprob)


EURO = (
    TokenLogprob(likely(b"a", -0.1), (likely(b"a", -0.1), likely(b"b", -2.0))),
    TokenLogprob(likely(b"\xe2\x82", -0.5), (likely(b"c", -0.2),)),
    TokenLogprob(likely(b"\xac", -0.01), (likely(b"\xac", -0.01),)),
    TokenLogprob(likely(b"z", -1.0), (likely(b"y", -0.3),)),
)


def test_a_whole_answer() -> None:
    usage = Usage(3, 4, 2, 1)
    answers = [Answer("a€z", "", (), EURO, "length"), Answer("b", "", (), (), "tool_calls")]
    body = text_completion(HEAD, answers, usage, logprobs=True)
    assert (body["id"], body["object"], body["created"], body["model"]) == (
        "cmpl-1",
        "text_completion",
        7,
        "m",
    )
    first, second = body["choices"]
    assert first["logprobs"] == {
        "tokens": ["a", "bytes:\\xe2\\x82", "bytes:\\xac", "z"],
        "token_logprobs": [-0.1, -0.5, -0.01, -1.0],
        "top_logprobs": [
            {"a": -0.1, "b": -2.0},
            {"c": -0.2, "bytes:\\xe2\\x82": -0.5},
            {"bytes:\\xac": -0.01},
            {"y": -0.3, "z": -1.0},
        ],
        "text_offset": [0, 1, 1, 2],
    }
    assert (first["text"], first["index"], first["finish_reason"]) == ("a€z", 0, "length")
    assert (second["text"], second["index"], second["finish_reason"]) == ("b", 1, "stop")
    assert body["usage"] is not None and body["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    echoed = text_completion(HEAD, answers, usage, logprobs=False, echoes=["1", "2"])
    assert [(c["text"], c["logprobs"]) for c in echoed["choices"]] == [("1a€z", None), ("2b", None)]


def test_logprobs_are_json_numbers() -> None:
    never = likely(b"x", float("-inf"))
    [choice] = text_completion(
        HEAD, [Answer("x", "", (), (TokenLogprob(never, (never,)),), "stop")], Usage(3, 1, 0), logprobs=True
    )["choices"]
    assert choice["logprobs"] is not None
    assert choice["logprobs"]["token_logprobs"] == [-9999.0]
    assert choice["logprobs"]["top_logprobs"] == [{"x": -9999.0}]


def test_token_texts() -> None:
    assert token_text("é".encode()) == "é"
    assert token_text(b"\xff") == "bytes:\\xff"


def test_usages_are_summed() -> None:
    assert sum_usages([Usage(1, 2, 3, 4, 5), Usage(10, 20, 30, 40, 50)]) == Usage(11, 22, 33, 44, 55)


def events(data: bytes) -> list[Any]:
    lines = [block.removeprefix("data: ") for block in data.decode().split("\n\n") if block]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_a_stream_of_two_prompts() -> None:
    stream = CompletionStream(HEAD, n=2, include_usage=True, logprobs=True, echoes=["p", "q"])
    data = stream.begin(STARTED, prompt_tokens=1, choices=2)
    data += stream.event(1, TextDelta("a", 1, EURO[:1])) + stream.event(1, TextDelta("€z", 3, EURO[1:]))
    data += stream.event(0, Finished("stop", Usage(1, 1, 0))) + stream.event(
        1, Finished("length", Usage(1, 1, 0))
    )
    stream.next_prompt()
    data += stream.begin(STARTED, prompt_tokens=1, choices=2) + stream.event(0, TextDelta("c", 1, EURO[:1]))
    *chunks, counted, done = events(data + stream.end(Usage(2, 4, 0)))
    assert done == "[DONE]"
    assert (counted["choices"], counted["usage"]["total_tokens"]) == ([], 6)
    told = [
        (c["choices"][0]["index"], c["choices"][0]["text"], c["choices"][0]["finish_reason"]) for c in chunks
    ]
    assert told == [
        (0, "p", None),
        (1, "p", None),
        (1, "a", None),
        (1, "€z", None),
        (0, "", "stop"),
        (1, "", "length"),
        (2, "q", None),
        (3, "q", None),
        (2, "c", None),
    ]
    assert [c["choices"][0]["logprobs"]["text_offset"] for c in (chunks[2], chunks[3], chunks[8])] == [
        [0],
        [1, 1, 2],
        [0],
    ]
    assert all(c["usage"] is None and c["object"] == "text_completion" for c in chunks)


def test_a_stream_without_usage_and_its_errors() -> None:
    stream = CompletionStream(HEAD, n=1, include_usage=False, logprobs=False)
    assert stream.begin(STARTED, prompt_tokens=1, choices=1) == b""
    assert "usage" not in events(stream.event(0, TextDelta("a")))[0]
    assert events(stream.end(Usage(1, 1, 0))) == ["[DONE]"]
    assert events(stream.error(Overloaded("busy")))[0]["error"]["code"] == "engine_busy"
