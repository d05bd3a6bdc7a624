"""kill -9 in the middle of a publish: nothing of it is seen afterwards, and it can be repeated."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.damage import faults
from tests.e2e.reader import MODEL, Reader, reader
from tests.e2e.served import Served
from tests.e2e.texts import document, in_system, in_user

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

TEXT = document("kill", 4_000)
BODY = {"id": "killed", "text": TEXT}
CONFIG = {"model": {"name": MODEL}, "documents": {"framings": [{"place": "system"}, {"place": "user"}]}}


def test_a_killed_publish_leaves_nothing(smollm2: Path, tmp_path: Path) -> None:
    proxy = Served(tmp_path, smollm2, CONFIG)
    with proxy:
        kill_midway(proxy)
        assert page_files(proxy), "it was killed too early to show anything"
        proxy.start()
        with reader(proxy.url) as client:
            cold = nothing_is_there(proxy, client)
            result = client.publish("killed", TEXT)
            assert result["created"] and result["info"]["version"] == 1
            warm = client.ask(in_system(TEXT, "Why?"))
            assert (warm.outcome, warm.key, warm.text) == ("hit", "killed@1", cold)
            assert client.ask(in_user(TEXT, "Why?")).key == "killed@1"
    assert faults(proxy.store) == []


def kill_midway(proxy: Served) -> None:
    """The first framing's pages reach the disk while the second one is still to be prefilled."""
    outcomes: list[str] = []

    def publish() -> None:
        with httpx.Client(base_url=proxy.url, trust_env=False, timeout=60) as http:
            try:
                outcomes.append(f"answered {http.post('/kv/v1/documents', json=BODY).status_code}")
            except httpx.TransportError:
                outcomes.append("cut off")

    thread = threading.Thread(target=publish)
    thread.start()
    deadline = time.monotonic() + 60
    while not page_files(proxy):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    proxy.kill()
    thread.join()
    assert outcomes == ["cut off"]


def nothing_is_there(proxy: Served, client: Reader) -> str:
    """The document is unknown by name and by text, on disk and in memory. What it is answered then."""
    assert client.documents() == []
    assert client.http.get("/kv/v1/documents/killed").status_code == 404
    assert page_files(proxy) == []
    answer = client.ask(in_system(TEXT, "Why?"))
    assert (answer.outcome, answer.detail, answer.cached) == ("fwd=miss", "no-document", 0)
    return answer.text


def page_files(proxy: Served) -> list[Path]:
    return list(proxy.store.rglob("*.page"))
