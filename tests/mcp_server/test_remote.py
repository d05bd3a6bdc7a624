"""Answers that a proxy, or something else, may give."""

from __future__ import annotations

import httpx
import pytest

from kvproxy.client import RequestFailed
from kvproxy.mcp_server.remote import Remote


def answering(status: int, content: str) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, text=content))


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (200, "<html>", "not as a kvproxy does"),
        (200, "[]", "not as a kvproxy does"),
        (502, "<html>", "the proxy answered 502 Bad Gateway"),
        (404, '{"error": {"message": "No such document"}}', "No such document"),
    ],
)
async def test_what_is_no_answer_is_told(status: int, content: str, said: str) -> None:
    async with Remote("http://x", transport=answering(status, content)) as remote:
        with pytest.raises(RequestFailed, match=said):
            await remote.document("a")


async def test_a_refused_stream_is_told() -> None:
    async def nobody(*_: int) -> None: ...

    async with Remote("http://x/v1", transport=answering(400, '{"error": {"message": "bad id"}}')) as remote:
        with pytest.raises(RequestFailed, match="bad id"):
            await remote.publish({"id": "a", "text": "b"}, nobody)
        with pytest.raises(RequestFailed, match="bad id"):
            await remote.chat({}, nobody)


@pytest.mark.parametrize(
    ("models", "said"),
    [("[]", "serves no model"), ('[{"id": "a", "owned_by": "x"}, {"id": "b"}]', "name one of a, b")],
)
async def test_a_proxy_without_a_model_of_its_own(models: str, said: str) -> None:
    async with Remote("http://x", transport=answering(200, f'{{"data": {models}}}')) as remote:
        with pytest.raises(RequestFailed, match=said):
            await remote.local_model()
