"""What the proxy says of itself at ``/openapi.json`` is true: schemathesis asks what the document allows and what it
forbids, and holds every answer, each event of a stream too, against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.in_thread import in_thread
from tests.clients.programs import CURRENT, run
from tests.server.doubles import make_proxy

pytestmark = pytest.mark.timeout(150)

KEY = "key-of-the-fuzzer"


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("fake", ("--mode", "all", "--phases", "examples,coverage,fuzzing,stateful")),
        # Upstreams check their requests themselves, so nothing invalid is sent.
        ("gpt-far", ("--mode", "positive", "--phases", "examples,coverage,fuzzing")),
    ],
)
def test_every_answer_is_as_described(model: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    proxy = make_proxy(api_keys=(("fuzzer", KEY),))
    with in_thread(proxy) as url:
        done = run(
            CURRENT,
            "spec/fuzz.py",
            url,
            KEY,
            model,
            *arguments,
            "--report-json-path",
            str(report),
            HOME=str(tmp_path),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert proxy.backend.check() == []
    json.loads(report.read_text())
