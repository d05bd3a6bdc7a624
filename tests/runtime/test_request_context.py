"""The request that code works for, and its calls to other servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from kvproxy.runtime.request_context import (
    OutgoingCall,
    RequestContext,
    WorkNote,
    begin_call,
    current_request,
    outgoing_call,
    serving,
    traced_work,
)


@dataclass
class Noted:
    """Notes calls in the order of their events."""

    headers: dict[str, str] = field(default_factory=lambda: {"traceparent": "of-the-call"})
    told: list[object] = field(default_factory=list)

    def call(self, method: str, url: str) -> OutgoingCall:
        self.told.append((method, url))
        return self

    def work(self, name: str, began: float, ended: float, note: WorkNote) -> None:
        assert began <= ended
        self.told.append((name, note.framing, note.tokens))

    def answered(self, status: int) -> None:
        self.told.append(status)

    def end(self, error: BaseException | None = None) -> None:
        self.told.append(error)


def test_without_a_request_nothing_is_carried() -> None:
    assert current_request() is None
    with outgoing_call("POST", "http://gpu-1/") as call:
        call.answered(200)
        assert dict(call.headers) == {}


def test_without_a_record_the_requests_headers_go_on() -> None:
    with serving(RequestContext("req_1", headers={"traceparent": "of-the-request"})):
        assert dict(begin_call("GET", "http://gpu-1/").headers) == {"traceparent": "of-the-request"}
    assert current_request() is None


def test_a_call_is_recorded_with_its_failure() -> None:
    noted = Noted()
    lost = OSError("lost")
    with serving(RequestContext("req_1", calls=noted)):
        with outgoing_call("POST", "http://gpu-1:8000/v1") as call:
            assert call.headers["traceparent"] == "of-the-call"
            call.answered(200)
        with pytest.raises(OSError, match="lost"), outgoing_call("POST", "http://gpu-2/"):
            raise lost
    assert noted.told == [
        *(("POST", "http://gpu-1:8000/v1"), 200, None),
        *(("POST", "http://gpu-2/"), lost),
    ]


async def test_threads_and_tasks_of_a_request_know_it() -> None:
    async def named() -> str:
        request = await asyncio.to_thread(current_request)
        assert request is not None
        return request.request_id

    with serving(RequestContext("req_1")):
        task = asyncio.create_task(named())
    assert await task == "req_1" and current_request() is None


def test_work_is_recorded_at_its_end_and_when_it_fails() -> None:
    noted = Noted()
    with traced_work("tokenize") as work:
        work.tokens = 3
    with serving(RequestContext("req_1", calls=noted)):
        with traced_work("prefill", "system") as work:
            work.tokens = 512
        with pytest.raises(OSError, match="full"), traced_work("register"):
            raise OSError("full")
    assert noted.told == [("prefill", "system", 512), ("register", None, None)]
