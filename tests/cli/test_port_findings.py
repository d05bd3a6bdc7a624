"""The port of a server that may be running already."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

from kvproxy.cli.port_findings import listen_finding
from tests.server.doubles import client_of, make_proxy


async def test_a_proxy_that_serves_there_is_no_fault() -> None:
    async with client_of(make_proxy()) as http:
        port = urlsplit(str(http.make_url("/"))).port
        assert port is not None
        found = await asyncio.to_thread(listen_finding, "127.0.0.1", port)
        assert (found.level, found.what) == ("ok", f"127.0.0.1:{port}: a proxy serves there now")
        assert (await asyncio.to_thread(listen_finding, "0.0.0.0", port)).level == "ok"
    assert listen_finding("127.0.0.1", port).what.endswith("is free")


def test_another_program_is_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(30)
        found = listen_finding("127.0.0.1", taken.getsockname()[1])
    assert found.level == "fail" and "end the process" in found.advice
    assert listen_finding("192.0.2.1", 8321).level == "fail", "an address of another machine"
