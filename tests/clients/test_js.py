"""JavaScript clients against the proxy over the fake backend. The AI SDK holds every answer against a schema, in which
absent and null are two things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.in_thread import in_thread
from tests.clients.javascript import LIMIT_S, run_js
from tests.clients.scripted import scripted_proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 60)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with in_thread(scripted_proxy()) as url:
        yield url


@pytest.mark.parametrize(("script", "least"), [("ai_sdk.mjs", 150), ("sdks.mjs", 9)])
def test_no_client_refuses_an_answer(url: str, tmp_path: Path, script: str, least: int) -> None:
    report = run_js(script, tmp_path, KVPROXY_URL=url, KVPROXY_MODEL="fake")
    assert report["faults"] == []
    assert report["held"] >= least
