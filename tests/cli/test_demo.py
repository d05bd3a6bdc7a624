from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvproxy.cli.demo import run_demo
from kvproxy.cli.demo_proxy import DemoProxy, ProxyFailed
from kvproxy.example_documents import EXAMPLES

FAKE = (sys.executable, "-m", "tests.fake_proxy")


def run(*options: str) -> int:
    return run_demo((*FAKE, *options), prepare=lambda: None)


def test_it_asks_cold_warm_and_after_a_restart(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    captured = capsys.readouterr()
    out = captured.out
    for document in EXAMPLES:
        assert f"published {document.id}@1" in out
        assert f"publish {document.id}: 4/4 tokens" in captured.err
        for question in document.questions:
            assert f"cold: {document.id}, {question}" in out
    # Every row: as many words are cached as the document has, and both answers are equal.
    rows = [line for line in out.splitlines() if line.startswith("│")]
    assert len(rows) == 6
    assert [line.split("│")[4].strip() for line in rows] == ["1,581"] * 3 + ["5,644"] * 3
    assert all(line.split("│")[8].strip() == "yes" for line in rows)
    assert "first question after the restart: gpl-3, 5,644 of 5,655 tokens cached" in out
    assert 'kvproxy; hit; key="doc@1"' in out
    assert "export OPENAI_BASE_URL=http://127.0.0.1:8321/v1" in out


def test_another_answer_fails_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--lies") == 1
    out = capsys.readouterr().out
    assert out.count("the answers differ") == 7
    assert "OPENAI_BASE_URL" not in out


def test_a_proxy_that_does_not_start_shows_the_end_of_its_log() -> None:
    with pytest.raises(ProxyFailed, match=r"(?s)ended with status 1.*the model is upside down"):
        run("--broken")


IGNORES_SIGTERM = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[sys.argv.index("--announce-file") + 1]).write_text("http://x")
time.sleep(60)
"""


def test_a_proxy_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    with DemoProxy((sys.executable, "-c", IGNORES_SIGTERM), tmp_path / "c", tmp_path, stop_s=0.1) as proxy:
        with pytest.raises(ProxyFailed, match="ended with status -9 when asked to stop"):
            proxy.restart()


def test_a_proxy_that_never_gets_ready_is_not_waited_for(tmp_path: Path) -> None:
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    proxy = DemoProxy(sleeps, tmp_path / "c", tmp_path, start_s=0.1)
    with pytest.raises(ProxyFailed, match="was not ready"):
        proxy.__enter__()


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background inherits that it is ignored
from kvproxy.cli.demo import run_demo
sys.exit(run_demo((sys.executable, "-m", "tests.fake_proxy", "--slow"), prepare=lambda: None))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (announced := list(tmp_path.glob("kvproxy-demo-*/url"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert announced
    demo.send_signal(number)
    out, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, out
    assert "stopped" in out
    assert list(tmp_path.iterdir()) == []
