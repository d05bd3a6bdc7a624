"""The log of a process: every line of it is JSON, whoever writes; levels; no other library's debug lines."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging, sys, threading, warnings
from kvproxy.telemetry.log_output import begin_log

begin_log("json", sys.argv[1])
logging.getLogger("kvproxy.server").debug("our own detail")
logging.getLogger("kvproxy.server").info("path with \\udcff and \\u2028 and \\x1b[31m")
logging.getLogger("httpcore").debug("a body with a prompt")
logging.getLogger("openai").info("other")
logging.getLogger("kvproxy.server").info("%d of %s", "no number")
logging.getLogger("kvproxy.server").warning("long " + "x" * 100_000, stack_info=True)
warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
raise ValueError("two\\nlines")
"""


def lines_of(level: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-W", "always", "-c", PROGRAM, level]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.isascii() and max(map(len, done.stderr.splitlines())) < 40_000
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_whatever_writes_writes_json() -> None:
    lines = lines_of("info")
    messages = [line["message"] for line in lines]
    assert messages[0] == "path with \udcff and \u2028 and \x1b[31m" and messages[1] == "other"
    assert messages[2].startswith("%d of %s (its arguments do not fit")
    assert len(messages[3]) < 10_000 and lines[3]["stack"].startswith("Stack")
    assert "DeprecationWarning: deprecated" in messages[4] and lines[4]["logger"] == "py.warnings"
    assert messages[5].startswith("worker has ended") and "ZeroDivisionError" in lines[5]["exception"]
    assert lines[6]["level"] == "CRITICAL" and lines[6]["exception"].endswith("ValueError: two\nlines")
    assert len(lines) == 7


@pytest.mark.parametrize(("level", "count"), [("debug", 8), ("warning", 4), ("error", 2)])
def test_levels(level: str, count: int) -> None:
    lines = lines_of(level)
    assert len(lines) == count
    assert not any("body with a prompt" in line["message"] for line in lines), "of other libraries never"
