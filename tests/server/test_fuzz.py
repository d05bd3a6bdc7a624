"""Mutated requests to every endpoint: never a 500, never a traceback, and a refusal always in the dialect's shape.

``KVPROXY_FUZZ=20000 python -m pytest tests/server/test_fuzz.py`` sends as many; ``KVPROXY_FUZZ_SEED=7`` sends others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from typing import Any

import aiohttp
import pytest
from yarl import URL

from kvproxy.server.middleware.error_dialect import is_anthropic
from kvproxy.server.openapi.operations import OPERATIONS
from tests.callback_time import callback_time
from tests.server.agent_requests import NAMES, request_of
from tests.server.doubles import Http, ask, client_of, make_proxy
from tests.server.mutations import Asked, Mutator

REQUESTS = int(os.environ.get("KVPROXY_FUZZ", "1000"))
SEED = int(os.environ.get("KVPROXY_FUZZ_SEED", "1"))
LONGEST_S = 1.0
"""CPU time of one callback."""
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}
FLAT = {"type": "function", "name": "look", "parameters": {"type": "object"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "array", "items": {"enum": ["x", 1]}}},
    "required": ["a"],
}
TURNS = [
    {"role": "system", "content": "s"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "hi", "prompt_cache_breakpoint": {"mode": "explicit"}}],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "r"},
]
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
ITEMS = [
    {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "r"},
]
BLOCKS = [
    {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r"}]},
]
CLAUDE: dict[str, Any] = {
    "model": "fake",
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s"}],
    "messages": BLOCKS,
    "tools": [{"name": "look", "input_schema": SCHEMA}],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "top_k": 5,
}
SAMPLING: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 5,
    "n": 2,
    "seed": 1,
    "stop": ["x"],
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"5": 1},
    "presence_penalty": 0.1,
    "min_p": 0.1,
    "stream_options": {"include_usage": True},
}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        ask(**SAMPLING),
        ask(stream=True, **SAMPLING),
        ask(messages=TURNS, tools=[TOOL], tool_choice="auto", parallel_tool_calls=True, metadata={"a": "b"}),
        ask(response_format=FORMAT, reasoning_effort="low", prediction={"type": "content", "content": "x"}),
        ask("hi", model="gpt-far", stream=True),
        ask(messages=[{"role": "user", "content": [{"type": "kv_document", "document": "handbook@1"}]}]),
    ],
    "/v1/completions": [
        {"model": "fake", "prompt": "hi", "max_tokens": 3, "logprobs": 1, "echo": True, "stream": True}
    ],
    "/v1/embeddings": [{"model": "gpt-far", "input": ["hi"], "encoding_format": "float", "dimensions": 2}],
    "/v1/responses": [
        {
            "model": "fake",
            "input": ITEMS,
            "tools": [FLAT],
            "max_output_tokens": 5,
            "store": True,
            "instructions": "i",
        },
        {
            "model": "fake",
            "input": "hi",
            "stream": True,
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        },
    ],
    "/v1/responses/input_tokens": [{"model": "fake", "input": ITEMS}],
    "/v1/messages": [CLAUDE, {**CLAUDE, "stream": True}],
    "/v1/messages/count_tokens": [{k: CLAUDE[k] for k in ("model", "messages", "system", "tools")}],
    "/tokenize": [
        {"model": "fake", "prompt": "hi", "add_special_tokens": True},
        {"model": "fake", "messages": TURNS},
    ],
    "/detokenize": [{"model": "fake", "tokens": [104, 105]}],
    "/kv/v1/documents": [{"id": "more", "text": "hello", "visibility": "public", "pinned": False}],
}


def seeds(response: str) -> list[Asked]:
    """Return a valid request for every operation, and those of the agents."""
    found = [
        Asked(r.get("method", "POST"), r["path"], r["body"])
        for r in (request_of(n, scale=0.002) for n in NAMES)
    ]
    for operation in OPERATIONS:
        named = {p.name: p.example for p in operation.parameters}
        path = operation.path.format(**{**named, "model": "fake", "id": response, "document": "handbook"})
        bodies: list[Any] = list(BODIES.get(operation.path, [])) if operation.method == "POST" else [None]
        found += [Asked(operation.method, path, body) for body in bodies or [None]]
    return found


async def send(http: Http, asked: Asked) -> tuple[int, str, bytes]:
    url = URL(f"http://{http.host}:{http.port}{asked.path}", encoded=True)
    async with http.session.request(
        asked.method, url, data=asked.data(), headers={"Content-Type": "application/json", **asked.headers}
    ) as response:
        endless = response.content_type == "text/event-stream" and asked.path.startswith("/kv/v1/requests")
        body = await (response.content.readany() if endless else response.read())
        return response.status, response.content_type, body


def fault(asked: Asked, status: int, kind: str, body: bytes) -> str | None:
    """Return the fault of an answer, or None."""
    if status >= 500 or b"had an error while processing" in body or b"Traceback" in body:
        return "an error of the proxy's own"
    if kind == "application/json" and body:
        try:
            value = json.loads(body)
        except ValueError:
            return "no JSON"
        if status >= 400:
            error = value.get("error") if isinstance(value, dict) else None
            if not isinstance(error, dict) or not error.get("message") or not error.get("type"):
                return "an error without its shape"
            if is_anthropic(asked.path.partition("?")[0]) and value.get("type") != "error":
                return "an error in the other dialect's shape"
            if len(body) > 3000:
                return "a long error"
    elif status >= 400 and body and asked.method != "HEAD":
        return "an error that is no JSON"
    return None


@pytest.mark.timeout(max(60, REQUESTS // 20))
async def test_mutated_requests_never_fail(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    caplog.set_level(logging.ERROR)
    faults: list[str] = []
    async with client_of(make_proxy()) as http:
        document = {"id": "handbook", "text": "The handbook's text."}
        assert (await http.post("/kv/v1/documents", json=document)).status == 201
        stored = await (
            await http.post("/v1/responses", json={"model": "fake", "input": "hi", "store": True})
        ).json()
        mutator = Mutator(seeds(stored["id"]), SEED)
        for number in range(REQUESTS):
            asked = mutator.next()
            with callback_time() as spent:
                try:
                    async with asyncio.timeout(30):
                        status, kind, body = await send(http, asked)
                except (ValueError, aiohttp.InvalidURL):
                    continue  # the client itself will not send it
                except (aiohttp.ClientError, TimeoutError) as e:
                    status, kind, body = 599, "", repr(e).encode()
            wrong = fault(asked, status, kind, body)
            if wrong is None and spent.longest_s > LONGEST_S:
                wrong = f"slow: {spent}"
            if wrong is None and caplog.records:
                wrong = f"in the log: {caplog.text[-1500:]}"
            caplog.clear()
            if wrong is not None:
                told = f"{asked.method} {asked.path[:200]} {asked.headers} {(asked.data() or b'')[:700]!r}"
                faults.append(f"{number}: {wrong}\n  {told[:1500]}\n  {status} {body[:300]!r}")
    assert not faults, f"{len(faults)} of {REQUESTS}:\n" + "\n".join(faults[:20])
    assert unraisable == []


FOUND: list[tuple[str, dict[str, Any]]] = [
    (
        "/v1/chat/completions",
        ask(messages=[{"role": "user", "content": [{"type": kind, "document": "handbook@1"}]}]),
    )
    for kind in ({"x": "kv_document"}, ["kv_document"], [], 1, True)
]
FOUND += [
    (path, {**bodies[0], name: 10**4300 - 1})
    for path, bodies in BODIES.items()
    for name in ("max_tokens", "n")
]
FOUND += [
    (
        "/v1/chat/completions",
        ask(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}),
    )
    for schema in (
        {"type": "object", "properties": {}, "required": [{"x": "a"}]},
        {"type": "object", "properties": "text", "required": ["a"]},
        {"$defs": [1], "$ref": "#/$defs/" + "9" * 5000},
    )
]


async def test_what_was_found_is_refused() -> None:
    async with client_of(make_proxy()) as http:
        for path, body in FOUND:
            status, kind, got = await send(http, Asked("POST", path, body))
            assert status == 400 and fault(Asked("POST", path), status, kind, got) is None, (
                f"{path} {body}: {got!r}"
            )
        for path in ("/v1/models?limit=", "/v1/responses/resp_x/input_items?limit=", "/kv/v1/requests?last="):
            status, _, got = await send(http, Asked("GET", path + "0" * 8 + "1" + "9" * 5000))
            assert status in (400, 404), got
