from __future__ import annotations

import socket

import pytest

from kvproxy.backends.fleet.replica_client import ReplicaClient, replica_session
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import InvalidRequest
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from tests.backends.fleet.raw_replica import head, raw_replica


async def asked(url: str, path: str = "/x", within_s: float = 5.0) -> object:
    async with replica_session(connect_s=2, silence_s=5) as session:
        return await ReplicaClient(session, "a", url, "key").get(path, within_s=within_s)


async def test_an_empty_body_is_none_and_json_is_read() -> None:
    async with raw_replica(head(more="Content-Length: 0\r\n")) as url:
        assert await asked(url) is None
    async with raw_replica(head(), b'{"a": 1}') as url:
        assert await asked(url) == {"a": 1}


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((head(), b"<html>"), "down"),
        ((head(503), b"later"), "down"),
        ((head(401), b"{}"), "misconfigured"),
        ((b"what?\r\n\r\n",), "down"),
        ((), "down"),
        ((5.0,), "down"),
    ],
    ids=["no json", "503", "401", "no http", "closed", "silent"],
)
async def test_what_is_no_answer_is_the_replicas_failure(
    pieces: tuple[bytes | float, ...], kind: str
) -> None:
    async with raw_replica(*pieces) as url:
        with pytest.raises(ReplicaFailed) as failed:
            await asked(url, within_s=0.3)
        assert failed.value.kind == kind and not failed.value.unreachable


async def test_an_error_whose_body_breaks_off_is_the_replicas_failure() -> None:
    async with (
        raw_replica(head(500, "Content-Length: 100\r\n"), b"half of") as url,
        replica_session(connect_s=2, silence_s=5) as session,
    ):
        with pytest.raises(ReplicaFailed, match="it answered 500") as failed:
            async with ReplicaClient(session, "a", url).stream("/v1/completions", b"{}", {}):
                pass
        assert failed.value.kind == "down"


async def test_nothing_that_listens_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(ReplicaFailed) as failed:
            await asked(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert failed.value.unreachable and failed.value.why == "it cannot be connected to: Connection refused"


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    with pytest.raises(ReplicaFailed, match="the name of its host cannot be resolved") as failed:
        await asked("http://nowhere.invalid:8000")
    assert failed.value.unreachable


async def test_a_refusal_is_the_requests() -> None:
    async with raw_replica(head(400), b'{"error": {"message": "no such field", "param": "x"}}') as url:
        with pytest.raises(InvalidRequest, match="no such field") as failed:
            await asked(url)
    assert failed.value.param == "x"


async def test_a_redirect_is_not_followed() -> None:
    async with raw_replica(head(302, "Location: http://127.0.0.1:1/\r\n")) as url:
        with pytest.raises(ReplicaFailed):
            await asked(url)


async def test_a_body_of_megabytes_is_sent() -> None:
    async with (
        FakeReplica(ReplicaOptions(blocks=40_000, max_model_len=300_000)) as replica,
        replica_session(connect_s=2, silence_s=60) as s,
    ):
        client = ReplicaClient(s, "a", replica.url)
        body = b'{"prompt": [' + b",".join([b"%7d" % 7] * 200_000) + b'], "max_tokens": 1, "stream": true}'
        assert len(body) > 1 << 20
        found = b""
        async with client.stream("/v1/completions", body, {}) as pieces:
            async for piece in pieces:
                found += piece
    assert found.endswith(b"data: [DONE]\n\n")
