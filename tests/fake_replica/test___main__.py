"""``python -m kvproxy.fake_replica``, and its end by kill -9."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
import pytest


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "kvproxy.fake_replica",
        "--model",
        "m",
        "--block-size",
        "8",
        "--decode-s",
        "0.01",
    ]
    with subprocess.Popen([*command, "--answer-words", "10000"], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


async def test_a_process_tells_its_addresses_and_dies_in_a_stream(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    body = {"prompt": [1, 2, 3], "max_tokens": 4000, "stream": True}
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{told['url']}/v1/models") as answer:
            (card,) = (await answer.json())["data"]
            assert (card["id"], card["max_model_len"]) == ("m", 511 * 8)
        with pytest.raises(aiohttp.ClientError):
            async with http.post(f"{told['url']}/v1/completions", json=body) as answer:
                await answer.content.readline()
                process.send_signal(signal.SIGKILL)
                await answer.read()
    assert process.wait(timeout=60) == -signal.SIGKILL
    where = urlsplit(told["url"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname or "", where.port or 0))


def test_a_process_ends_when_it_is_told_to() -> None:
    command = [sys.executable, "-m", "kvproxy.fake_replica", "--no-events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=60) == 0
