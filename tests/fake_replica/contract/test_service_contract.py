"""The other endpoints of the fake replica and of vLLM: models, tokens, metrics, keys, scale-out."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from kvproxy.fake_replica.replica_text import ModelText
from tests.fake_replica.contract.asked_replica import (
    BLOCK,
    BLOCKS,
    CONTEXT,
    KEY,
    MODEL,
    AskedReplica,
    cached,
    shape,
)

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "", "parameters": {"type": "object"}},
}
CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "Hi"}]},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a  b\n\nc"}]},
    {"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": True, "tools": [WEATHER]},
    {
        "messages": [
            {"role": "user", "content": "Größe? 日本語"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "<|im_end|>"},
        ]
    },
]


def test_models(replica: AskedReplica) -> None:
    (card,) = replica.get("/v1/models").json()["data"]
    named = {name: card[name] for name in ("id", "object", "owned_by", "parent", "max_model_len")}
    assert named == {
        "id": MODEL,
        "object": "model",
        "owned_by": "vllm",
        "parent": None,
        "max_model_len": CONTEXT,
    }


def test_version_health_and_load(replica: AskedReplica) -> None:
    assert replica.get("/version").json() == {"version": "0.32.0"}
    health = replica.get("/health")
    assert (health.status_code, health.content) == (200, b"")
    assert replica.get("/load").json() == {"server_load": 0}


def test_keys_guard_what_generates_and_nothing_else(replica: AskedReplica) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
        with httpx.Client(base_url=replica.url, headers=headers, trust_env=False) as http:
            for path in ("/v1/models", "/v1/completions", "/inference/v1/generate", "/v1/nothing"):
                answer = http.get(path)
                assert (answer.status_code, answer.json()) == (401, {"error": "Unauthorized"})
            for path in ("/health", "/version", "/metrics", "/kv_event_sources"):
                assert http.get(path).status_code == 200
            assert http.post("/tokenize", json={"prompt": "a"}).status_code == 200


def test_unknown_paths_methods_and_models(replica: AskedReplica) -> None:
    answer = replica.get("/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = replica.get("/v1/completions")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    answer = replica.post("/v1/completions", {"model": "other", "prompt": "a"})
    error = {
        "message": f"The model `other` does not exist. Valid aliases: {MODEL}.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }
    assert (answer.status_code, answer.json()) == (404, {"error": error})


def test_bodies_that_are_no_json(replica: AskedReplica) -> None:
    with httpx.Client(
        base_url=replica.url, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
    ) as http:
        json_type = {"Content-Type": "application/json"}
        answer = http.post("/v1/completions", content=b"{nope", headers=json_type)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body.1")
        answer = http.post("/v1/completions", content=b"{}", headers={"Content-Type": "text/plain"})
        error = {
            "message": "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed",
            "type": "Bad Request",
            "param": None,
            "code": 400,
        }
        assert (answer.status_code, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize("prompt", ["Hello <|im_start|>world", "a  b   c\n\n\t d", "Ελλάδα 👩‍👩‍👧 ﬁn"])
def test_texts_have_the_tokens_that_this_proxy_makes(
    replica: AskedReplica, text: ModelText, prompt: str
) -> None:
    told = replica.post("/tokenize", {"model": MODEL, "prompt": prompt}).json()
    tokens = text.encode(prompt)
    assert told == {"count": len(tokens), "max_model_len": CONTEXT, "tokens": tokens, "token_strs": None}
    bare = replica.post("/tokenize", {"prompt": prompt, "add_special_tokens": False}).json()
    assert bare["tokens"] == text.encode(prompt, special=False)
    back = replica.post("/detokenize", {"tokens": tokens}).json()
    assert back == {"prompt": text.decode(tokens, skip_special=False)}


@pytest.mark.parametrize("body", CONVERSATIONS, ids=["user", "system", "tools", "turns"])
def test_conversations_have_the_tokens_that_this_proxy_makes(
    replica: AskedReplica, text: ModelText, body: dict[str, Any]
) -> None:
    told = replica.post("/tokenize", {"model": MODEL, **body}).json()
    assert told["tokens"] == text.chat(body["messages"], {"tools": body.get("tools", ())})


def test_wrong_tokens_are_refused(replica: AskedReplica) -> None:
    answer = replica.post("/detokenize", {"tokens": [-1]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body.tokens.0")
    answer = replica.post("/tokenize", {})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "body.prompt")


def test_metrics_tell_size_and_hits_of_the_cache(replica: AskedReplica) -> None:
    before = metrics(replica)
    prompt = replica.prompt(70)
    replica.complete(prompt)
    replica.complete(prompt)
    deadline = time.monotonic() + 60
    while (after := metrics(replica))[
        "vllm:prefix_cache_queries_total"
    ] < 140 and time.monotonic() < deadline:
        time.sleep(0.1)
    gained = {name: after[name] - before[name] for name in after if name.endswith("_total")}
    assert gained["vllm:prefix_cache_queries_total"] == 140
    assert gained["vllm:prefix_cache_hits_total"] == 64
    assert gained["vllm:prompt_tokens_total"] == 140
    assert gained["vllm:prompt_tokens_cached_total"] == 64
    assert gained["vllm:generation_tokens_total"] == 8
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"):
        assert after[name] == 0
    (config,) = re.findall(
        r"^vllm:cache_config_info\{(.*)\} 1.0$", replica.get("/metrics").text, re.MULTILINE
    )
    labels = dict(re.findall(r'(\w+)="([^"]*)"', config))
    assert labels["block_size"] == str(BLOCK)
    assert labels["num_gpu_blocks"] == str(BLOCKS)
    assert labels["prefix_caching_hash_algo"] == "sha256_cbor"
    assert labels["enable_prefix_caching"] == "True"


def metrics(replica: AskedReplica) -> dict[str, float]:
    found = re.findall(r"^(vllm:\w+)\{[^}]*\} (\S+)$", replica.get("/metrics").text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_tokens_in_tokens_out(replica: AskedReplica) -> None:
    prompt = replica.prompt(70)
    completion = replica.complete(prompt, return_token_ids=True)
    body = {"token_ids": prompt, "sampling_params": {"max_tokens": 4, "temperature": 0}}
    told = replica.post("/inference/v1/generate", body).json()
    assert told["choices"][0]["token_ids"] == completion["choices"][0]["token_ids"]
    assert cached(told) == 64
    assert shape(told["usage"]) == shape(completion["usage"])
    cold = {**body["sampling_params"], "skip_reading_prefix_cache": True}  # type: ignore[dict-item]
    answer = replica.post("/inference/v1/generate", {**body, "sampling_params": cold}).json()
    assert cached(answer) == 0
    assert answer["choices"][0]["token_ids"] == completion["choices"][0]["token_ids"]


def test_blocks_of_tokens_in_are_kept_under_their_salt(replica: AskedReplica) -> None:
    """A forced cold read leaves blocks that are nobody's: the prompt's own readers find nothing of it."""
    prompt = replica.prompt(70)
    body = {"token_ids": prompt, "sampling_params": {"max_tokens": 1, "temperature": 0}}
    salted = {**body, "cache_salt": "a-salt-of-this-read-alone"}
    assert [cached(replica.post("/inference/v1/generate", salted).json()) for _ in range(2)] == [0, 64]
    assert cached(replica.post("/inference/v1/generate", body).json()) == 0


GENERATED: dict[str, Any] = {
    "request_id": "str",
    "model": "str",
    "created": "int",
    "usage": {
        "prompt_tokens": "int",
        "total_tokens": "int",
        "completion_tokens": "int",
        "prompt_tokens_details": {
            "cached_tokens": "int",
            "created_cache_tokens": None,
            "multimodal_tokens": None,
        },
        "completion_tokens_details": None,
    },
    "prompt_logprobs": None,
    "prompt_token_id_logprobs": None,
    "prompt_token_ids": None,
    "mm_placeholders": None,
    "metrics": None,
    "kv_transfer_params": None,
    "ec_transfer_params": None,
    "output_mode": "str",
    "choices": [
        {
            "index": "int",
            "finish_reason": "str",
            "stop_reason": None,
            "token_ids": ["int"],
            "routed_experts": None,
            "sampling_mask": None,
            "logprobs": None,
        }
    ],
}


def test_generated_answers_have_vllms_fields(replica: AskedReplica) -> None:
    sampling = {"max_tokens": 2, "temperature": 0}
    body = {"token_ids": replica.prompt(40), "sampling_params": sampling}
    told = replica.post("/inference/v1/generate", body).json()
    told["choices"][0].pop("weight_versions")  # a label of the weights, where the engine has one
    assert shape(told) == GENERATED
    *chunks, last = replica.chunks(
        None, "/inference/v1/generate", **body, stream_options={"include_usage": True}
    )
    chunks[0]["choices"][0].pop("weight_versions")
    choice = {**GENERATED["choices"][0], "finish_reason": None}
    head = {"request_id": "str", "usage": None, "output_mode": "str"}
    assert shape(chunks[0]) == {**head, "choices": [choice]}
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert set(last) == {"request_id", "usage", "output_mode", "choices"}
    assert cached(last) == 32


def test_generated_logprobs_have_token_ids(replica: AskedReplica) -> None:
    sampling = {"max_tokens": 2, "temperature": 0, "logprobs": 2}
    body = {"token_ids": replica.prompt(40), "sampling_params": sampling}
    (choice,) = replica.post("/inference/v1/generate", body).json()["choices"]
    content = choice["logprobs"]["content"]
    assert [one["token_id"] for one in content] == choice["token_ids"]
    assert shape(content) == [
        {
            "token_id": "int",
            "logprob": "float",
            "rank": "int",
            "top_logprobs": [{"token_id": "int", "logprob": "float", "rank": "int"}],
        }
    ]
    assert [len(one["top_logprobs"]) for one in content] == [2, 2]


def test_a_client_that_leaves_ends_its_request(replica: AskedReplica) -> None:
    body = {
        "model": MODEL,
        "prompt": replica.prompt(40),
        "max_tokens": 900,
        "ignore_eos": True,
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=replica.url, headers=headers, trust_env=False, timeout=60) as http:
        with http.stream("POST", "/v1/completions", json=body) as answer:
            next(answer.iter_lines())
    deadline = time.monotonic() + 60
    while metrics(replica)["vllm:num_requests_running"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert metrics(replica)["vllm:num_requests_running"] == 0
    assert metrics(replica)["vllm:generation_tokens_total"] < 900
