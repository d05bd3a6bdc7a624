"""Images in tool results: three turns of a conversation on each endpoint, each of which hits the pages of the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.wire.answers.left_out import LEFT_OUT
from kvproxy.wire.bodies.request_reading import ReadingPolicy
from tests.server.doubles import client_of, make_proxy

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
IMAGE_URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
INPUT_IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.png"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.png"}'}}
FUNCTION_CALL = {
    "type": "function_call",
    "call_id": "call_1",
    "name": "read",
    "arguments": '{"path": "a.png"}',
}

Turns = list[list[Any]]

MESSAGES: Turns = [
    [
        {"role": "user", "content": "Look at a.png."},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [IMAGE]}]},
    ],
    [{"role": "assistant", "content": "I see."}, {"role": "user", "content": "And?"}],
    [{"role": "assistant", "content": "That is all."}, {"role": "user", "content": "Thanks."}],
]
CHAT: Turns = [
    [
        {"role": "user", "content": "Look at a.png."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": [IMAGE_URL]},
        {"role": "user", "content": [{"type": "text", "text": "The image of the tool:"}, IMAGE_URL]},
    ],
    [{"role": "assistant", "content": "I see."}, {"role": "user", "content": "And?"}],
    [{"role": "assistant", "content": "That is all."}, {"role": "user", "content": "Thanks."}],
]
RESPONSES: Turns = [
    [
        {"role": "user", "content": "Look at a.png."},
        FUNCTION_CALL,
        {"type": "function_call_output", "call_id": "call_1", "output": [INPUT_IMAGE]},
    ],
    [{"role": "assistant", "content": "I see."}, {"role": "user", "content": "And?"}],
    [{"role": "assistant", "content": "That is all."}, {"role": "user", "content": "Thanks."}],
]


def _messages(history: list[Any]) -> dict[str, Any]:
    return {"model": "fake", "max_tokens": 9, "messages": history}


def _chat(history: list[Any]) -> dict[str, Any]:
    return {"model": "fake", "messages": history}


def _responses(history: list[Any]) -> dict[str, Any]:
    return {"model": "fake", "input": history}


DOORS = [
    pytest.param(
        "/v1/messages", _messages, MESSAGES, "messages[2].content[0].content[0]: image", id="messages"
    ),
    pytest.param("/v1/chat/completions", _chat, CHAT, "messages[2].content[0]: image", id="chat"),
    pytest.param("/v1/responses", _responses, RESPONSES, "input[2].output[0]: image", id="responses"),
]


def counts(usage: dict[str, Any]) -> tuple[int, int]:
    """Return the prompt's tokens and its cached tokens."""
    if "cache_read_input_tokens" in usage:
        cached = usage["cache_read_input_tokens"]
        return usage["input_tokens"] + usage["cache_creation_input_tokens"] + cached, cached
    if "prompt_tokens" in usage:
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
    return usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"]


@pytest.mark.parametrize(("path", "body", "turns", "named"), DOORS)
async def test_an_image_in_a_tool_result_does_not_end_a_conversation(
    path: str, body: Callable[[list[Any]], dict[str, Any]], turns: Turns, named: str
) -> None:
    history: list[Any] = []
    before = 0
    async with client_of(make_proxy()) as http:
        for turn in turns:
            history += turn
            response = await http.post(path, json=body(history))
            assert response.status == 200, await response.text()
            assert f'"{named}"' in response.headers[LEFT_OUT]
            prompt, cached = counts((await response.json())["usage"])
            assert cached == before, "the prompt begins with all of the earlier one"
            before = prompt


@pytest.mark.parametrize(("path", "body", "turns", "named"), DOORS)
async def test_where_the_policy_is_to_refuse_the_field_is_named(
    path: str, body: Callable[[list[Any]], dict[str, Any]], turns: Turns, named: str
) -> None:
    proxy = make_proxy()
    proxy.components = replace(proxy.components, policy=ReadingPolicy(unreadable_history="refuse"))
    async with client_of(proxy) as http:
        response = await http.post(path, json=body(turns[0]))
        assert response.status == 400
        assert named.removesuffix(": image") in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "image", "param"),
    [
        ("/v1/messages", _messages, IMAGE, "messages[0].content[1].type"),
        ("/v1/chat/completions", _chat, IMAGE_URL, "messages[0].content[1]"),
        ("/v1/responses", _responses, INPUT_IMAGE, "input[0].content[1].type"),
    ],
)
async def test_an_image_that_is_asked_about_is_refused_by_name_and_noted_once_it_is_history(
    path: str, body: Callable[[list[Any]], dict[str, Any]], image: Any, param: str
) -> None:
    text = {"type": "input_text" if "responses" in path else "text", "text": "What is this?"}
    question = {"role": "user", "content": [text, image]}
    async with client_of(make_proxy()) as http:
        response = await http.post(path, json=body([question]))
        assert response.status == 400
        told = (await response.json())["error"]["message"]
        assert param in told and "text" in told
        later = [question, {"role": "assistant", "content": "A cat."}, {"role": "user", "content": "Thanks."}]
        response = await http.post(path, json=body(later))
        assert response.status == 200, await response.text()
        assert "image" in response.headers[LEFT_OUT]


async def test_a_stored_response_goes_on_behind_an_image() -> None:
    async with client_of(make_proxy()) as http:
        first = await (await http.post("/v1/responses", json=_responses(RESPONSES[0]))).json()
        more = {**_responses([{"role": "user", "content": "And?"}]), "previous_response_id": first["id"]}
        response = await http.post("/v1/responses", json=more)
        assert response.status == 200, await response.text()
        assert counts((await response.json())["usage"])[1] >= counts(first["usage"])[0]
