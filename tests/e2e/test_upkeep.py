"""Pinning, warming, check and repair of a proxy that serves, over HTTP and by the command line's own calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.damage import flipped
from tests.e2e.reader import MODEL, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = document("handbook", 1_500)


def kvproxy(proxy: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kvproxy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)


def test_a_damaged_page_is_found_and_mended_while_readers_are_served(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy:
        with reader(proxy.url) as client:
            client.publish("handbook", TEXT, "public")
            right = client.ask(in_system(TEXT, "Why?"))
            pages = sorted((proxy.store / "pages").rglob("*.page"))
            flipped(pages[0], pages[-1])
            found = httpx.post(f"{proxy.url}/kv/v1/check?deep=true").json()
            assert not found["sound"] and len(found["faults"]) == 1
            done = httpx.post(f"{proxy.url}/kv/v1/repair", timeout=120).json()
            assert done["sound"] and len(done["mended"]) == 1
            deadline = time.monotonic() + 60
            while httpx.post(f"{proxy.url}/kv/v1/check").json()["looked"]["pages"] < len(pages):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert client.ask(in_system(TEXT, "Why?")).text == right.text
        told = kvproxy(proxy, "check", "--store", str(proxy.store))
        assert told.returncode == 2 and "in use by another kvproxy" in told.stderr
        assert kvproxy(proxy, "check", "--url", proxy.url).returncode == 0
        assert proxy.stop() == 0
        assert kvproxy(proxy, "check", "--deep", "--store", str(proxy.store)).returncode == 0
        flipped(pages[0], pages[-1])
        broken = kvproxy(proxy, "check", "--deep", "--store", str(proxy.store))
        assert broken.returncode == 1 and "FAULT  pages: page" in broken.stdout
        mended = kvproxy(proxy, "repair", "--store", str(proxy.store))
        assert mended.returncode == 0 and "1 pages dropped" in mended.stdout
        proxy.start()
        with reader(proxy.url) as client:
            assert client.ask(in_system(TEXT, "Why?")).text == right.text


def test_warm_and_pin_after_a_restart(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, {"model": {"name": MODEL}})
    with proxy:
        with reader(proxy.url) as client:
            client.publish("handbook", TEXT, "public")
        assert proxy.stop() == 0
        proxy.start()
        first = httpx.post(f"{proxy.url}/kv/v1/documents/handbook/warm").json()
        assert first["before"] == 0 and first["loaded"] == first["after"] > 300 and first["computed"] == 0
        again = httpx.post(f"{proxy.url}/kv/v1/documents/handbook/warm").json()
        assert (again["loaded"], again["before"]) == (0, first["after"])
        pinned = httpx.post(f"{proxy.url}/kv/v1/documents/handbook/pin").json()
        assert pinned["limit"] is None and pinned["pinned"] == pinned["asked"] > 0
        told = kvproxy(proxy, "docs", "unpin", "handbook", "--url", proxy.url)
        assert told.returncode == 0 and "0 of" in told.stdout
