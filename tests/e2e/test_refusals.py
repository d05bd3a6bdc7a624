"""Errors as the stock openai client sees them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.conftest import MAX_BODY, Fresh
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TEXTLESS = {"type": "text"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
SCHEMA = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
UNIQUE = {"type": "json_schema", "json_schema": {"name": "distinct", "schema": SCHEMA, "strict": True}}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def tenant(fresh: Fresh) -> Reader:
    return fresh()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": "hot"}, "temperature", None),
        ({"max_tokens": 1.5}, "max_tokens", None),
        ({"max_tokens": 0}, "max_tokens", None),
        ({"stop": [1]}, "stop[0]", None),
        ({"messages": "Hello"}, "messages", None),
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "robot", "content": "Hello"}]}, "messages[0].role", None),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", None),
        ({"messages": [{"role": "user", "content": [TEXTLESS]}]}, "messages[0].content[0].text", None),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]", None),
        (
            {"tools": [{"type": "function", "function": {"name": "two words"}}]},
            "tools[0].function.name",
            None,
        ),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"n": 0}, "n", None),
        ({"top_logprobs": 2}, "top_logprobs", None),
        ({"logit_bias": {"99999999": 1}}, "logit_bias", None),
        ({"response_format": UNIQUE}, "response_format.json_schema.schema", "unsupported_schema"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_field_is_named(
    tenant: Reader, stream: bool, fields: dict[str, Any], param: str, code: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        tenant.ask(HELLO, stream=stream, extra_body=fields)
    error = refused.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert isinstance(error.body, dict) and set(error.body) == {"message", "type", "param", "code"}
    assert param in error.body["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"", b"\xff\xfe", b'{"model": "smol", "model'])
def test_a_body_that_is_no_json_object(tenant: Reader, body: bytes) -> None:
    response = tenant.http.post("/v1/chat/completions", content=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
def test_too_long_a_context_says_both_numbers(tenant: Reader, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        tenant.ask([{"role": "user", "content": "word " * 9_000}], stream=stream, max_tokens=7)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")
    message = str(refused.value)
    found = re.search(r"is 8192 tokens.* needs (\d+) tokens \((\d+) in the messages, 7 in", message)
    assert found is not None, message
    assert int(found[1]) == int(found[2]) + 7 > 9_000


def test_what_does_not_exist(tenant: Reader) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        tenant.ask(HELLO, model="gpt-none")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    part = {"type": "kv_document", "document": "nowhere@9"}
    with pytest.raises(openai.NotFoundError) as refused:
        tenant.ask([{"role": "user", "content": [part]}], stream=True)
    assert refused.value.code == "document_not_found"
    assert refused.value.param == "messages[0].content[0].document"
    with pytest.raises(openai.NotFoundError) as refused:
        tenant.client.images.generate(model=MODEL, prompt="x")
    assert refused.value.code == "unknown_url"
    with pytest.raises(openai.BadRequestError) as bad:
        tenant.client.embeddings.create(model=MODEL, input="x")
    assert bad.value.param == "model"
    with pytest.raises(openai.NotFoundError):
        tenant.client.models.retrieve("gpt-none")


def test_the_models_are_listed(tenant: Reader) -> None:
    assert [m.id for m in tenant.client.models.list()] == [MODEL, "far", "dead", "raw"]
    assert tenant.client.models.retrieve(MODEL).owned_by == "kvproxy"


def test_a_large_body_is_refused_before_it_is_read(tenant: Reader) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        tenant.ask([{"role": "user", "content": "x" * 20 * MAX_BODY}])
    assert (refused.value.status_code, refused.value.code) == (413, "request_too_large")
    # And so is one that does not say how large it is.
    chunks = (b"x" * 2**16 for _ in range(20 * MAX_BODY // 2**16))
    response = tenant.http.post("/v1/chat/completions", content=chunks)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
    assert tenant.ask(HELLO, max_tokens=1).finish_reason == "length"


@pytest.mark.parametrize("key", ["not-a-key-of-this-proxy", "key-of-tenant-number-0000"])
def test_a_wrong_key(proxy: Served, key: str) -> None:
    with reader(proxy.url, key) as unknown:
        with pytest.raises(openai.AuthenticationError) as refused:
            unknown.ask(HELLO)
        assert refused.value.code == "invalid_api_key"
        assert key not in str(refused.value)
        assert unknown.http.get("/kv/v1/documents").status_code == 401


def test_health_needs_no_key(proxy: Served) -> None:
    with httpx.Client(base_url=proxy.url, trust_env=False) as anyone:
        assert anyone.get("/health/live").json() == {"status": "live"}
        assert anyone.get("/health/ready").json() == {"status": "ready"}
        assert anyone.get("/v1/models").status_code == 401
