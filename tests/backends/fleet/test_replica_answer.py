"""Streams that break, lie and say nothing, read byte for byte."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from kvproxy.backends.fleet.completion_reader import CompletionReader
from kvproxy.backends.fleet.fleet_replica import FleetReplica
from kvproxy.backends.fleet.replica_answer import ReplicaAnswer
from kvproxy.backends.fleet.replica_client import ReplicaClient, replica_session
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import InvalidRequest
from tests.backends.fleet.raw_replica import head, raw_replica

TEXT = b'data: {"choices": [{"text": "Hi"}]}\n\n'
END = b'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"


async def said(*pieces: bytes | float, within_s: float = 5.0) -> tuple[str, CompletionReader]:
    reader, text = CompletionReader(), ""
    async with raw_replica(*pieces) as url, replica_session(connect_s=2, silence_s=1) as session:
        async with AsyncExitStack() as stack:
            answer = ReplicaAnswer(FleetReplica(ReplicaClient(session, "a", url)), reader, stack)
            await answer.begin(b"{}", {}, within_s)
            async for delta in answer.deltas():
                text += delta.text
    return text, reader


async def test_an_answer_is_read_to_its_final_count() -> None:
    text, reader = await said(head(), TEXT, 0.01, END, USAGE, DONE)
    assert (text, reader.reason, reader.generated) == ("Hi", "stop", 2)


async def test_an_answer_without_its_last_line_is_whole_once_it_has_its_reason() -> None:
    text, reader = await said(head(), TEXT, END)
    assert (text, reader.reason, reader.usage) == ("Hi", "stop", None)


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((head(), TEXT), "broke off"),
        ((head(), TEXT, DONE), "broke off"),
        ((head(), TEXT, 0.05, b"data: {]\n\n"), "cannot be read"),
        ((head(), TEXT, 0.05, b'data: {"error": {"message": "dead", "code": 500}}\n\n', DONE), "dead"),
        ((head(), TEXT, 3.0), "stopped sending"),
        ((head(), TEXT, b'data: {"choices": [{"text": "", "finish_reason": "abort"}]}\n\n'), "abort"),
        ((head(),), "before the first token"),
        ((head(), DONE), "before the first token"),
        ((head(), b": ping\n\n", 3.0), "stopped sending"),
    ],
)
async def test_an_answer_that_fails_says_why(pieces: tuple[bytes | float, ...], why: str) -> None:
    with pytest.raises(ReplicaFailed, match=why) as failed:
        await said(*pieces)
    assert failed.value.kind == "broke-off"


async def test_an_error_in_the_place_of_an_answer_is_about_the_request() -> None:
    with pytest.raises(ReplicaFailed) as failed:
        await said(head(), b'data: {"error": {"message": "no grammar", "code": 500}}\n\n', DONE)
    assert (failed.value.kind, failed.value.status) == ("failed-request", 500)


async def test_no_first_token_in_time_is_a_replica_that_is_down() -> None:
    with pytest.raises(ReplicaFailed, match="no first token") as failed:
        await said(head(), 3.0, within_s=0.2)
    assert (failed.value.kind, failed.value.status) == ("down", 504)


async def test_a_refusal_within_the_stream_is_the_requests() -> None:
    with pytest.raises(InvalidRequest) as failed:
        await said(head(), b'data: {"error": {"message": "bad", "code": 400, "param": "seed"}}\n\n', DONE)
    assert failed.value.param == "seed"


async def test_the_whole_answer_in_one_piece_is_read() -> None:
    text, _ = await said(head() + TEXT + TEXT + END + USAGE + DONE)
    assert text == "HiHi"
