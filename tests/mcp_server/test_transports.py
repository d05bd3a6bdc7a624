"""Streamable HTTP: who may speak, and how the server ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.fake_proxy import FakeProxy
from tests.mcp_server.conftest import call

TOKEN = "a-token-of-the-test"
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"accept": "application/json, text/event-stream"}


@contextmanager
def served(*options: str, logged: tuple[str, ...] = ()) -> Iterator[str]:
    """The URL of a server in a process of its own, which must end well on SIGTERM, with no words but ``logged``."""
    command = [sys.executable, "-W", "error", "-m", "kvproxy", "mcp", "--http", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            found = re.search(r"MCP at (http://127\.0\.0\.1:\d+/mcp)", said)
            assert found is not None, said + process.stderr.read()
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        assert process.wait(20) in (0, -signal.SIGTERM)
        assert rest.splitlines() == [f"kvproxy mcp: {line}" for line in logged]


async def test_a_client_is_served(proxy: FakeProxy) -> None:
    proxy.publish({"id": "doc", "text": "one two"})
    with served("--url", proxy.url) as url:
        async with Client(url) as client:
            assert (await call(client, "ask", question="q", documents=["doc"]))["cached_tokens"] == 2
        async with Client(url, mode="legacy") as client:
            assert (await call(client, "list_documents"))["documents"]


async def test_a_token_is_asked_for(proxy: FakeProxy) -> None:
    wrong = (b"", b"Bearer", b"Bearer wrong", TOKEN.encode(), b"Bearer \xe4", f"Basic {TOKEN}".encode())
    with served("--url", proxy.url, "--token", TOKEN) as url:
        async with httpx.AsyncClient(headers=ACCEPT, trust_env=False) as http:
            for given in wrong:
                refusal = await http.post(url, json=PING, headers=[(b"authorization", given)])
                assert refusal.status_code == 401 and refusal.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in refusal.text
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}) as right,
            Client(streamable_http_client(url, http_client=right)) as client,
        ):
            assert await call(client, "list_documents") == {"documents": []}


def test_another_sites_page_is_refused(proxy: FakeProxy) -> None:
    logged = ("Invalid Host header: evil.example", "Invalid Origin header: https://evil.example")
    with served("--url", proxy.url, "--allow-host", "kv.example.org", logged=logged) as url:

        def status(**headers: str) -> int:
            return httpx.post(url, json=PING, headers={**ACCEPT, **headers}, trust_env=False).status_code

        assert status(host="evil.example") == 421
        assert status(origin="https://evil.example") == 403
        assert status(origin="http://localhost:3000") not in (401, 403, 421)
        assert status(host="kv.example.org") not in (401, 403, 421)


def test_a_taken_port_is_one_sentence(proxy: FakeProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "kvproxy", "mcp", "--http", address, "--url", proxy.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"kvproxy: cannot listen on {address}: Address already in use\n"


def test_options_of_http_need_it() -> None:
    command = [sys.executable, "-m", "kvproxy", "mcp", "--allow-host", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "needs --http" in done.stderr
