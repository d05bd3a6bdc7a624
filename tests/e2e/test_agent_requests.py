"""Agents' requests on the real engine: the second session of each reuses what it has in common with the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from kvproxy.core import Caller, ChatRequest
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.wire.anthropic.parse_messages import parse_messages
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.chat.parse_chat import parse_chat
from kvproxy.wire.responses.conversation_items import normal_items
from kvproxy.wire.responses.parse_response import to_chat
from kvproxy.wire.responses.response_body import parse_body
from kvproxy.wire.responses.response_ids import ResponseIds
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL
from tests.server.agent_requests import NAMES, request_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SCALE = 0.05
"""Of the texts' lengths: the model's context has 8,192 positions, and Claude Code's prompt alone 20,000 tokens."""
QUICK = {"claude_code", "codex", "continue"}
"""One agent of each endpoint; the others are slow."""
LIMITS = {"/v1/messages": "max_tokens", "/v1/responses": "max_output_tokens"}


def session(name: str, question: str) -> tuple[str, dict[str, Any]]:
    """The address and the body of one session's request, with a question and ids of its own."""
    asked = request_of(name, scale=SCALE)
    path = asked["path"].partition("?")[0]
    body: dict[str, Any] = {**asked["body"], "model": MODEL, LIMITS.get(path, "max_tokens"): 2}
    if "prompt_cache_key" in body:
        body["prompt_cache_key"] = f"session of {question}"
    spoken = [m for m in body.get("messages") or body["input"] if m.get("role") == "user"]
    spoken[-1 if name != "opencode_messages" else 0]["content"] = question
    if name == "claude_code":
        body["system"][0]["text"] = f"x-anthropic-billing-header: cc_version=2.1.197; cch={len(question)};"
    return path, body


def chat_of(path: str, body: dict[str, Any]) -> ChatRequest:
    if path == "/v1/messages":
        return parse_messages(body)
    if path == "/v1/chat/completions":
        return parse_chat(body, served_name=MODEL)
    reading = RequestReading()
    read = parse_body(body, reading)
    items = normal_items(read.input or (), ResponseIds("0" * 32), {}, reading)
    return to_chat(read, items, served_name=MODEL, reading=reading)


def usage_of(url: str, key: str, path: str, body: dict[str, Any]) -> tuple[int, int]:
    """Prompt tokens and cached ones, from the last event that has them."""
    headers = {"authorization": f"Bearer {key}", "anthropic-version": "2023-06-01"}
    options = {} if path != "/v1/chat/completions" else {"stream_options": {"include_usage": True}}
    answer = httpx.post(url + path, json={**body, **options}, headers=headers, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line) for line in lines]
    found = [u for e in events if (u := e.get("usage") or (e.get("response") or {}).get("usage"))][-1]
    if "cache_read_input_tokens" in found:
        cached = found["cache_read_input_tokens"]
        return found["input_tokens"] + cached + found["cache_creation_input_tokens"], cached
    details = found.get("prompt_tokens_details") or found["input_tokens_details"]
    return found.get("prompt_tokens") or found["input_tokens"], details["cached_tokens"]


@pytest.fixture(scope="module")
def composer(smollm2: Path) -> Composer:
    return Composer(Tokenizer.load(smollm2), ChatTemplate.load(smollm2), Library())


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]
)
def test_a_second_session_reads_what_is_identical(name: str, fresh: Fresh, composer: Composer) -> None:
    tenant = fresh()
    first, second = (session(name, question) for question in ("What is new?", "And then, who came?"))
    caller = Caller("a", "tenant:a")
    one, other = (composer.compose(chat_of(*asked), caller).token_ids for asked in (first, second))
    identical = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    assert usage_of(tenant.url, tenant.key, *first)[1] == 0
    prompt, cached = usage_of(tenant.url, tenant.key, *second)
    assert prompt == len(other)
    assert 0.9 * identical <= cached <= identical
