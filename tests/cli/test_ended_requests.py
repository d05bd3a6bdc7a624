"""`EndedRequests`: the wait of ``kvproxy top`` ends when a request has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx

from kvproxy.cli.ended_requests import EndedRequests
from kvproxy.client import Client

EVENT = b'data: {"outcome": "hit"}\n\n'


class Feed(httpx.SyncByteStream):
    """A feed that sends one event when it is told to, and nothing more."""

    def __init__(self) -> None:
        self.send, self.asked, self.over = threading.Event(), threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        self.asked.set()
        self.send.wait()
        yield EVENT
        self.over.wait()

    def answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.query == b"last=0", "those that have ended before are on the screen already"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self)

    def connect(self) -> Client:
        return Client("http://proxy", transport=httpx.MockTransport(self.answer))


def test_the_wait_ends_when_a_request_has_ended() -> None:
    feed = Feed()
    with EndedRequests(feed.connect) as ended:
        assert feed.asked.wait(30)
        assert not ended.wait(0.01), "nothing has ended"
        feed.send.set()
        assert ended.wait(60)
    feed.over.set()


def test_a_refused_feed_is_given_up_and_the_wait_is_a_wait() -> None:
    asked = []
    over = threading.Event()

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(401, json={"error": {"message": "no", "type": "x", "code": "invalid_api_key"}})

    class Closing(Client):
        def close(self) -> None:
            super().close()
            over.set()

    with EndedRequests(lambda: Closing("http://proxy", transport=httpx.MockTransport(refuse))) as ended:
        assert over.wait(30) and len(asked) == 1
        assert not ended.wait(0.01)
