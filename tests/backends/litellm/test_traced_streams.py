"""The record of a call to an upstream ends with the answer's body: as it ends, or as it breaks off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest

from kvproxy.backends.litellm.answer_limits import AnswerLimits
from kvproxy.backends.litellm.bounded_transport import bounded
from kvproxy.runtime.request_context import RequestContext, WorkNote, serving


@dataclass
class Record:
    """One call, as it was told of."""

    headers: Mapping[str, str] = field(default_factory=dict)
    told: list[object] = field(default_factory=list)

    def call(self, method: str, url: str) -> Record:
        self.told.append(url)
        return self

    def work(self, name: str, began: float, ended: float, note: WorkNote) -> None:
        raise AssertionError(name)

    def answered(self, status: int) -> None:
        self.told.append(status)

    def end(self, error: BaseException | None = None) -> None:
        self.told.append(type(error).__name__)


class Body(httpx.AsyncByteStream):
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"data: {}\n\n"
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, httpx.ReadError("reset")])
async def test_a_body_that_breaks_off_is_the_calls_failure(error: Exception | None) -> None:
    class Answering(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Body(error), request=request)

    record = Record()
    with serving(RequestContext("req_1", calls=record)):
        async with httpx.AsyncClient(transport=bounded(Answering, AnswerLimits())()) as client:
            request = client.build_request("POST", "https://far/v1/messages?key=k")
            answer = await client.send(request, stream=True)
            try:
                assert await answer.aread() == b"data: {}\n\n"
            except httpx.ReadError:
                assert error is not None
            await answer.aclose()
    first = "NoneType" if error is None else "ReadError"
    assert record.told[:3] == ["https://far/v1/messages?key=k", 200, first]
