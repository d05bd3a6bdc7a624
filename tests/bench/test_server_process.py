from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from kvproxy.bench.server_process import (
    Child,
    announce_to,
    announced,
    started_together,
    terminated_as_interrupted,
)
from kvproxy.errors import SetupError

# Works for several of the kernel's clock ticks (10 ms each) first: an interpreter may start in less than one.
SERVES = (
    "import pathlib, sys, time\n"
    "while time.process_time() < 0.1: pass\n"
    "pathlib.Path(sys.argv[1]).write_text('http://here\\n'); time.sleep(60)"
)
FAILS = "import sys; print('about to fail', flush=True); sys.exit(3)"
WITH_A_CHILD = (
    "import os, pathlib, subprocess, sys, time\n"
    "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "pathlib.Path(sys.argv[1]).write_text(f'{other.pid}\\n'); time.sleep(60)"
)
SILENT = "import time; time.sleep(60)"


def child(code: str, folder: Path, start_s: float = 30.0) -> Child:
    file = folder / "url"
    return Child("server", (sys.executable, "-c", code, str(file)), announced(file), folder, start_s=start_s)


def mine() -> list[psutil.Process]:
    return psutil.Process().children()


def test_it_serves_until_the_block_ends(tmp_path: Path) -> None:
    before = mine()
    with child(SERVES, tmp_path) as server:
        assert server.url == "http://here"
        assert len(mine()) == len(before) + 1
        assert server.cpu_s() >= 0.05
    assert mine() == before
    with pytest.raises(RuntimeError, match="not running"):
        server.cpu_s()


def test_one_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"server ended with status 3; its log ends:\n  about to fail"):
        child(FAILS, tmp_path).__enter__()


def test_one_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    before = mine()
    with pytest.raises(SetupError, match="server was not ready after 0 s"):
        child(SILENT, tmp_path, start_s=0.1).__enter__()
    assert mine() == before


def test_what_is_announced_is_ready(tmp_path: Path) -> None:
    file = tmp_path / "url"
    ready = announced(file)
    assert ready() is None
    for half in ("", "http://127"):
        file.write_text(half)
        assert ready() is None
    file.unlink()
    announce_to(file)("127.0.0.1", 80)
    assert ready() == "http://127.0.0.1:80"
    assert list(tmp_path.iterdir()) == [file]


def test_several_start_together_and_end_together(tmp_path: Path) -> None:
    before, said = mine(), list[str]()
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with started_together([child(SERVES, folder) for folder in folders], said.append):
        assert len(mine()) == len(before) + 2
    assert mine() == before
    assert [line.partition(" after")[0] for line in said] == ["server is ready"] * 2


def test_one_that_fails_ends_the_others(tmp_path: Path) -> None:
    before = mine()
    (tmp_path / "a").mkdir()
    children = [child(SERVES, tmp_path / "a"), child(FAILS, tmp_path)]
    with pytest.raises(SetupError, match="about to fail"), started_together(children):
        pass
    assert mine() == before


def test_what_a_leader_leaves_behind_ends_with_its_group(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = (sys.executable, "-c", WITH_A_CHILD, str(file))
    with Child("server", command, announced(file), tmp_path, own_group=True) as server:
        left_behind = psutil.Process(int(server.url))
    left_behind.wait(timeout=20)
    assert not left_behind.is_running()


def test_a_terminated_program_ends_its_blocks(tmp_path: Path) -> None:
    before = mine()
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted(), child(SERVES, tmp_path):
        psutil.Process().send_signal(signal.SIGTERM)
    assert mine() == before
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler
