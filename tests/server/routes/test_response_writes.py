"""The write of a stored response, which comes before the end of its answer."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.doubles import client_of, eventually, make_proxy

PATH = "/v1/responses"


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_ends_when_its_record_is_written(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or when that takes too long: a kill after the answer loses nothing that a store takes in time."""
    proxy, writes = make_proxy(), list[asyncio.Future[None]]()

    def put(scope: str, id: str, record: bytes) -> asyncio.Future[None]:
        writes.append(asyncio.get_running_loop().create_future())
        return writes[-1]

    monkeypatch.setattr(proxy.responses, "put", put)
    body = {"model": "fake", "input": "x", "stream": streamed}
    async with client_of(proxy) as http:

        async def ask() -> str:
            async with http.post(PATH, json=body) as response:
                return await response.text()

        asking = asyncio.create_task(ask())
        await eventually(lambda: bool(writes))
        assert not (await asyncio.wait((asking,), timeout=0.05))[0]
        writes[0].set_result(None)
        assert '"completed"' in await asking
        monkeypatch.setattr("kvproxy.server.routes.responses_route.WRITTEN_S", 0.01)
        assert '"completed"' in await ask()
        assert not writes[1].done()
