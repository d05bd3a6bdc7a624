"""The statements of ``/openapi.json`` are true: schemathesis asks what the document allows and what it
forbids, and holds every answer, each event of a stream too, against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.server.openapi.operations import OPERATIONS
from tests.clients.in_thread import in_thread
from tests.clients.programs import CURRENT, LIMIT_S, run
from tests.server.doubles import make_proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 60)]

KEY = "key-of-the-fuzzer"
PHASES = ("examples", "coverage", "fuzzing")


@pytest.mark.parametrize(
    ("model", "mode", "phases"),
    [
        ("fake", "all", (*PHASES, "stateful")),
        # Upstreams check their requests themselves, so nothing invalid is sent.
        ("gpt-far", "positive", PHASES),
    ],
)
def test_every_answer_is_as_described(model: str, mode: str, phases: tuple[str, ...], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    proxy = make_proxy(api_keys=(("fuzzer", KEY),))
    options = ("--mode", mode, "--phases", ",".join(phases), "--report-json-path", str(report))
    with in_thread(proxy) as url:
        done = run(CURRENT, "spec/fuzz.py", url, KEY, model, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(report.read_text(encoding="utf-8"))
    assert told["operations"]["tested"] == len(OPERATIONS)
    assert {phase: told["phases"][phase]["status"] for phase in phases} == dict.fromkeys(phases, "success")
    assert told["test_cases"]["generated"] > 1_000
    assert proxy.backend.check() == []
    assert len(proxy.backend.generations if model == "fake" else proxy.misses.bodies) > 100
