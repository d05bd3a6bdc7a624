"""Every kind of answer of every endpoint, against the published specifications and the Python SDKs' own models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.in_thread import in_thread
from tests.clients.programs import CURRENT, LIMIT_S, OPENAI2, run
from tests.clients.scripted import CONTEXT, scripted_proxy
from tests.clients.tap import Tap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 120)]

SAYS = "Say something."
SCHEMA = {
    "type": "object",
    "properties": {"town": {"type": "string"}},
    "required": ["town"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather of a town", "parameters": SCHEMA}
LONG = "x" * (CONTEXT + 1)


def _chat(text: str = SAYS, **fields: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **fields}


CHAT: list[dict[str, Any]] = [
    _chat(),
    _chat(n=2, logprobs=True, top_logprobs=2),
    _chat("Think first."),
    _chat("Call the tool.", tools=[{"type": "function", "function": FUNCTION}]),
    _chat("Call the tool.", functions=[FUNCTION]),
    _chat(max_tokens=1),
    _chat(stop=[" "]),
    _chat(prediction={"type": "content", "content": "Something."}),
    _chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": SCHEMA, "strict": True},
        }
    ),
    _chat("Break off."),
    _chat(LONG),
    _chat(temperature="warm"),
    _chat(model="nobody"),
]
TEXTS: list[dict[str, Any]] = [
    {"model": "fake", "prompt": SAYS},
    {"model": "fake", "prompt": [SAYS, "More."], "n": 2, "logprobs": 2, "echo": False},
    {"model": "fake", "prompt": SAYS, "max_tokens": 1},
    {"model": "fake", "prompt": LONG},
    {"model": "fake", "prompt": "Break off."},
]
RESPONSES: list[dict[str, Any]] = [
    {"model": "fake", "input": SAYS},
    {"model": "fake", "input": SAYS, "top_logprobs": 2, "include": ["message.output_text.logprobs"]},
    {
        "model": "fake",
        "input": SAYS,
        "instructions": "Be brief.",
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
        "prompt_cache_retention": "24h",
        "max_output_tokens": 3,
        "truncation": "disabled",
    },
    {"model": "fake", "input": "Think first.", "store": False},
    {"model": "fake", "input": "Call the tool.", "tools": [{"type": "function", "strict": True, **FUNCTION}]},
    {
        "model": "fake",
        "input": SAYS,
        "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}},
    },
    {"model": "fake", "input": "Break off."},
    {"model": "fake", "input": LONG},
    {"model": "fake", "input": 7},
]
MESSAGES: list[dict[str, Any]] = [
    _chat(max_tokens=64),
    _chat("Think first.", max_tokens=64, thinking={"type": "enabled", "budget_tokens": 1024}),
    _chat(
        "Call the tool.",
        max_tokens=64,
        tools=[{"name": "weather", "description": "The weather", "input_schema": SCHEMA}],
    ),
    _chat(max_tokens=1),
    _chat(max_tokens=64, stop_sequences=[" "]),
    _chat("Break off.", max_tokens=64),
    _chat(LONG, max_tokens=64),
    _chat(max_tokens="many"),
    _chat(max_tokens=64, model="nobody"),
]
ASKED = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": TEXTS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}
"""Each is asked twice, the second time as a stream; asked again it is a hit."""


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "exchanges.jsonl"
    with in_thread(scripted_proxy()) as url, Tap(url) as tap, httpx.Client(base_url=tap.url) as client:
        for endpoint, bodies in ASKED.items():
            for body in bodies:
                client.post(endpoint, json=body)
                counted = {"stream_options": {"include_usage": True}} if "completions" in endpoint else {}
                client.post(endpoint, json={**body, "stream": True, **counted})
        _ask_about_the_rest(client)
        tap.write(path)
    return path


def _ask_about_the_rest(client: httpx.Client) -> None:
    client.get("/v1/models")
    client.get("/v1/nowhere")
    client.post("/v1/messages/count_tokens", json=_chat())
    client.post("/v1/messages", json=_chat(model="gpt-far", max_tokens=5))
    client.post("/v1/embeddings", json={"model": "gpt-far", "input": "Hi"})
    client.post("/v1/embeddings", json={"model": "fake", "input": "Hi"})
    client.post("/v1/responses/input_tokens", json={"model": "fake", "input": SAYS})
    first = client.post("/v1/responses", json=RESPONSES[4]).json()
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": '{"celsius": 20}'}
        for item in first["output"]
        if item["type"] == "function_call"
    ]
    later = {**RESPONSES[4], "input": results, "previous_response_id": first["id"]}
    second = client.post("/v1/responses", json=later).json()["id"]
    client.get(f"/v1/responses/{second}")
    client.get(f"/v1/responses/{second}/input_items")
    client.post(f"/v1/responses/{second}/cancel")
    client.delete(f"/v1/responses/{second}")
    client.get(f"/v1/responses/{second}")


@pytest.mark.parametrize(
    ("script", "environment"),
    [("validate.py", CURRENT), ("sdk_models.py", CURRENT), ("sdk_models.py", OPENAI2)],
)
def test_every_answer_is_what_its_readers_expect(exchanges: Path, script: str, environment: str) -> None:
    done = run(environment, f"spec/{script}", str(exchanges))
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["faults"] == []
    assert sum(report["validated"].values()) > 300, report["validated"]
