from __future__ import annotations

import json

import pytest

from kvproxy import errors as tree
from kvproxy.core import MissReason
from kvproxy.errors import KVProxyError
from kvproxy.server.errors import error_response
from tests.server.doubles import client_of, make_proxy


def instances() -> list[KVProxyError]:
    """One of every class of the tree."""
    special: dict[type[KVProxyError], KVProxyError] = {
        tree.ContextTooLong: tree.ContextTooLong(limit=1, prompt_tokens=2, completion_tokens=3),
        tree.UpstreamError: tree.UpstreamError("m", status=418, error={"code": "teapot"}),
        tree.HitLost: tree.HitLost("m", MissReason.PAGES_REJECTED),
    }
    classes = [x for x in vars(tree).values() if isinstance(x, type) and issubclass(x, KVProxyError)]
    return [special[c] if c in special else c("m") for c in classes]


@pytest.mark.parametrize("error", instances(), ids=lambda e: type(e).__name__)
def test_every_error_has_openais_body_and_says_whether_to_retry(error: KVProxyError) -> None:
    response = error_response(error)
    assert response.status == error.http_status
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["error"].keys() == {"message", "type", "param", "code"}
    retryable = isinstance(error, tree.Retryable)
    assert ("Retry-After" in response.headers) == retryable
    permanent = not retryable and response.status < 500 and not isinstance(error, tree.UpstreamError)
    assert (response.headers.get("x-should-retry") == "false") == permanent


async def test_paths_and_methods_that_do_not_exist() -> None:
    async with client_of(make_proxy()) as http:
        missing = await http.get("/v1/nowhere")
        assert missing.status == 404
        assert (await missing.json())["error"]["code"] == "unknown_url"
        wrong = await http.get("/v1/chat/completions")
        assert wrong.status == 405 and wrong.headers["Allow"] == "POST"
        assert (await wrong.json())["error"]["code"] == "method_not_allowed"
