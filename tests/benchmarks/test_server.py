from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.server import Launch, NotStarted, Server, free_port

# Answers anything, and has a child that left its process group and ignores SIGTERM.
SERVES = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"], start_new_session=True)
class Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def server(code: str, folder: Path, start_s: float = 30.0) -> Server:
    port = free_port()
    launch = Launch([sys.executable, "-c", code, str(port)], "m")
    return Server(launch, port=port, log=folder / "log", start_s=start_s)


def test_all_of_it_ends_with_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.server.STOP_S", 0.5)
    with server(SERVES, tmp_path) as running:
        assert running.took_s > 0
        started = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        assert len(started) == 2
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in started)
    with pytest.raises(RuntimeError, match="not running"):
        _ = running.pid


def test_one_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match=r"it ended with status 3; its log ends:\n  about to fail"):
        server("import sys; print('about to fail', flush=True); sys.exit(3)", tmp_path).__enter__()


def test_one_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    before = psutil.Process().children()
    with pytest.raises(NotStarted, match="not ready after 0 s"):
        server("import time; time.sleep(60)", tmp_path, start_s=0.1).__enter__()
    assert psutil.Process().children() == before


def test_the_measuring_environment_is_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os, sys; print(os.environ.get('PYTHONPATH'), flush=True); sys.exit(1)"
    with pytest.raises(NotStarted, match="None"):
        server(code, tmp_path).__enter__()
