"""Messages to a supervisor, over real sockets in the file system and in the abstract name space."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvproxy.runtime.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def supervisor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@kvproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        bound.settimeout(20)
        yield name, bound


def told(bound: socket.socket) -> list[str]:
    bound.setblocking(False)
    found = []
    try:
        while True:
            found.append(bound.recv(4096).decode())
    except BlockingIOError:
        return found


async def test_it_is_told_ready_stopping_and_signs_of_life(supervisor: tuple[str, socket.socket]) -> None:
    address, bound = supervisor
    manager = ServiceManager.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"})
    manager.say("loading the model")
    async with manager.watching("serving on ::1 port 8321"):
        bound.setblocking(False)
        first = [(await asyncio.get_running_loop().sock_recv(bound, 4096)).decode() for _ in range(5)]
        await manager.stopping("shutting down")
    manager.close()
    manager.say("nothing more")
    ready = "READY=1\nSTATUS=serving on ::1 port 8321"
    assert first == ["STATUS=loading the model", ready, *["WATCHDOG=1"] * 3]
    assert [text for text in told(bound) if text != "WATCHDOG=1"] == ["STOPPING=1\nSTATUS=shutting down"]


async def test_a_loop_that_hangs_gives_no_sign(supervisor: tuple[str, socket.socket]) -> None:
    address, bound = supervisor
    manager = ServiceManager(address, watchdog_s=0.02)
    async with manager.watching("serving"):
        await asyncio.sleep(0)
        told(bound)
        time.sleep(0.2)  # noqa: ASYNC251  # the loop hangs, which is what is tested
        assert told(bound) == []
        bound.setblocking(False)
        async with asyncio.timeout(20):
            assert await asyncio.get_running_loop().sock_recv(bound, 4096) == b"WATCHDOG=1"
    manager.close()


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "@"}, {"NOTIFY_SOCKET": "vsock:2:1"}],
)
async def test_without_a_supervisor_nothing_is_told(environ: dict[str, str]) -> None:
    manager = ServiceManager.of({**environ, "WATCHDOG_USEC": "1000"})
    manager.say("x")
    async with manager.watching("x"):
        await manager.stopping("x")
    manager.close()


@pytest.mark.parametrize(
    ("usec", "process", "asked"),
    [("1000", "", True), ("1000", "7", True), ("1000", "8", False), ("0", "", False), ("-1", "", False)],
)
async def test_signs_of_life_are_given_where_this_process_is_asked_for_them(
    tmp_path: Path, usec: str, process: str, asked: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "s"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "s"), "WATCHDOG_USEC": usec, "WATCHDOG_PID": process}
        manager = ServiceManager.of(environ, process=7)
        async with manager.watching("x"):
            await asyncio.sleep(0.01)
        manager.close()
        assert ("WATCHDOG=1" in told(bound)) is asked


async def test_one_that_is_gone_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ServiceManager(str(tmp_path / "none"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
            bound.bind(str(tmp_path / "s"))
            manager = ServiceManager(str(tmp_path / "s"), watchdog_s=0.001)
        async with manager.watching("x"):
            await asyncio.sleep(0.02)
            await manager.stopping("x")
    assert len(caplog.records) == 2
    assert all("cannot be told anything" in record.message for record in caplog.records)
