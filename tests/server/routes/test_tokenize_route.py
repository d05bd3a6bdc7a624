from __future__ import annotations

from typing import Any

import pytest

from tests.server.doubles import client_of, make_proxy

MESSAGES = [{"role": "user", "content": "hi"}]


async def test_a_text_and_back() -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(
            "/tokenize", json={"model": "fake", "prompt": "aé", "add_special_tokens": False}
        )
        told = await response.json()
        assert told == {"count": 2, "max_model_len": 4096, "tokens": [97, 233], "token_strs": None}
        back = await http.post("/detokenize", json={"tokens": told["tokens"]})
        assert await back.json() == {"prompt": "aé"}
        begun = await (await http.post("/tokenize", json={"prompt": "a", "return_token_strs": True})).json()
        assert begun["count"] == 2 and begun["token_strs"] == ["", "a"]


async def test_a_conversation_is_what_the_model_would_be_given() -> None:
    proxy = make_proxy()
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    async with client_of(proxy) as http:
        told = await (await http.post("/tokenize", json={"messages": MESSAGES, "tools": tools})).json()
        asked = {"model": "fake", "messages": MESSAGES, "tools": tools}
        await (await http.post("/v1/chat/completions", json=asked)).read()
    assert tuple(told["tokens"]) == proxy.backend.generations[-1].prompt.token_ids
    assert told["count"] == len(told["tokens"])


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": MESSAGES}, 400, "prompt"),
        ("/tokenize", {"prompt": 1}, 400, "prompt"),
        ("/tokenize", {"messages": MESSAGES, "add_generation_prompt": False}, 400, "add_generation_prompt"),
        ("/tokenize", {"messages": MESSAGES, "add_special_tokens": True}, 400, "add_special_tokens"),
        ("/tokenize", {"messages": MESSAGES, "continue_final_message": True}, 400, "continue_final_message"),
        ("/tokenize", {"messages": MESSAGES, "chat_template": "x"}, 400, "chat_template"),
        ("/tokenize", {"messages": [{"role": "user"}]}, 400, "messages[0].content"),
        ("/tokenize", {"prompt": "a", "model": "gpt-far"}, 400, "model"),
        ("/tokenize", {"prompt": "a", "model": "nobody"}, 404, "model"),
        ("/detokenize", {}, 400, "tokens"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"tokens": [9_999_999]}, 400, "tokens"),
        ("/detokenize", {"tokens": [1], "model": "nobody"}, 404, "model"),
    ],
)
async def test_what_is_wrong_is_named(path: str, body: dict[str, Any], status: int, param: str) -> None:
    async with client_of(make_proxy()) as http:
        response = await http.post(path, json=body)
        assert response.status == status
        assert (await response.json())["error"]["param"] == param


async def test_a_document_by_reference_is_resolved_for_its_readers() -> None:
    content = [{"type": "kv_document", "document": "handbook@1"}]
    body = {"messages": [{"role": "user", "content": content}]}
    async with client_of(make_proxy()) as http:
        missing = await http.post("/tokenize", json=body)
        assert missing.status == 404
        await http.post("/kv/v1/documents", json={"id": "handbook", "text": "The text."})
        found = await (await http.post("/tokenize", json=body)).json()
    assert found["count"] == len("The text.") + 3
