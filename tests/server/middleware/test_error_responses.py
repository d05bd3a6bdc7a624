from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from kvproxy import errors as tree
from kvproxy.core import MissReason
from kvproxy.errors import KVProxyError
from kvproxy.server.middleware.error_responses import error_response
from kvproxy.wire.anthropic.errors import error_body
from kvproxy.wire.anthropic.types import ErrorType
from kvproxy.wire.upstream_events import UpstreamEvents
from tests.server.doubles import client_of, make_proxy


def instances() -> list[KVProxyError]:
    """Return one error of every class of the tree."""
    special: dict[type[KVProxyError], KVProxyError] = {
        tree.ContextTooLong: tree.ContextTooLong(limit=1, prompt_tokens=2, completion_tokens=3),
        tree.UpstreamError: tree.UpstreamError("m", status=418, error={"code": "teapot"}),
        tree.DocumentRevoked: tree.DocumentRevoked("handbook@3", "it was wrong"),
        tree.DocumentExpired: tree.DocumentExpired("handbook@3", 1_800_000_000),
        tree.HitLost: tree.HitLost("m", MissReason.PAGES_REJECTED),
    }
    classes = [x for x in vars(tree).values() if isinstance(x, type) and issubclass(x, KVProxyError)]
    return [special[c] if c in special else c("m") for c in classes]


@pytest.mark.parametrize("error", instances(), ids=lambda e: type(e).__name__)
def test_every_error_has_openais_body_and_says_whether_to_retry(error: KVProxyError) -> None:
    response = error_response(error, make_mocked_request("POST", "/v1/chat/completions"))
    assert response.status == error.http_status
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["error"].keys() == {"message", "type", "param", "code"}
    assert_says_whether_to_retry(error, response)


@pytest.mark.parametrize("error", instances(), ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/nowhere"])
def test_below_anthropics_paths_it_has_anthropics_body(error: KVProxyError, path: str) -> None:
    request = make_mocked_request("POST", path, headers={"x-request-id": "mine"})
    response = error_response(error, request)
    assert response.status == (529 if error.http_status == 503 else error.http_status)
    assert isinstance(response.body, bytes)
    body = json.loads(response.body)
    assert body["type"] == "error" and body["request_id"] == "mine"
    assert body["error"]["type"] in get_args(ErrorType) and body["error"]["message"]
    assert_says_whether_to_retry(error, response)


def test_every_error_is_raised_somewhere() -> None:
    """A class that is never raised is documented without effect."""
    classes = {
        c.__name__: c for c in vars(tree).values() if isinstance(c, type) and issubclass(c, KVProxyError)
    }
    made = {
        name.id
        for path in Path(tree.__file__).parent.parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for name in (
            node.func,
            *(keyword.value for keyword in node.keywords),
        )  # called, or passed to a caller
        if isinstance(name, ast.Name)
    }
    parents = {base.__name__ for c in classes.values() for base in c.__mro__[1:]}
    assert sorted(classes.keys() - made - parents) == []


@pytest.mark.parametrize("error", instances(), ids=lambda e: type(e).__name__)
def test_a_stream_of_anthropics_ends_with_the_type_that_a_body_has(error: KVProxyError) -> None:
    event = UpstreamEvents("messages").error(error)
    (told,) = [json.loads(line[5:]) for line in event.decode().splitlines() if line.startswith("data:")]
    assert told["error"]["type"] == error_body(error, "id")["error"]["type"]


def assert_says_whether_to_retry(error: KVProxyError, response: web.Response) -> None:
    retryable = isinstance(error, tree.Retryable)
    assert ("Retry-After" in response.headers) == retryable
    ours = not retryable and response.status < 500 and not isinstance(error, tree.UpstreamError)
    permanent = ours or isinstance(error, tree.TimedOut)  # the same request would take as long again
    assert (response.headers.get("x-should-retry") == "false") == permanent


def test_a_prompt_that_is_too_long_says_its_code_in_words() -> None:
    """Agents read it there to shorten their history."""
    error = tree.ContextTooLong(limit=1, prompt_tokens=2, completion_tokens=3)
    assert error.message.endswith("(context_length_exceeded)")


async def test_paths_and_methods_that_do_not_exist() -> None:
    async with client_of(make_proxy()) as http:
        missing = await http.get("/v1/nowhere")
        assert missing.status == 404
        assert (await missing.json())["error"]["code"] == "unknown_url"
        wrong = await http.get("/v1/chat/completions")
        assert wrong.status == 405 and wrong.headers["Allow"] == "OPTIONS, POST"
        assert (await wrong.json())["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "headers", "data", "status", "kind"),
    [
        ("POST", "/v1/messages", {}, b"{}", 401, "authentication_error"),
        ("POST", "/v1/messages", {"x-api-key": "k"}, b"{", 400, "invalid_request_error"),
        ("POST", "/v1/messages", {"x-api-key": "k"}, b" " * 2000, 413, "request_too_large"),
        (
            "POST",
            "/v1/messages",
            {"x-api-key": "k", "Expect": "100-continue"},
            b" " * 2000,
            413,
            "request_too_large",
        ),
        ("GET", "/v1/messages", {"Authorization": "Bearer k"}, None, 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", {"x-api-key": "k"}, b"{}", 404, "not_found_error"),
    ],
)
async def test_refusals_before_any_handler_speak_anthropics_dialect_too(
    method: str, path: str, headers: dict[str, str], data: bytes | None, status: int, kind: str
) -> None:
    async with client_of(make_proxy(api_keys=(("a", "k"),), max_body=1000)) as http:
        response = await http.request(method, path, headers=headers, data=data)
        body = await response.json()
    assert response.status == status
    assert body["type"] == "error" and body["error"]["type"] == kind
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
