"""The tutorial as it stands: its files are written, its commands run, and their outputs have the same shape."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .pages import ROOT, Snippet, fenced

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

TUTORIAL = ROOT / "docs" / "tutorial"
START_S = 600.0
_NUMBER = re.compile(r"\d[\d.,]*")
_ID = re.compile(r"\b(?:key|rcpt)_[\w-]+|\b[0-9a-f]{12,}\b")
_QUOTED = re.compile(r"“[^”]*”")


def shape(output: str) -> list[str]:
    """The lines of an output with placeholders for its numbers, ids and answers; progress and borders are left out."""
    text = _QUOTED.sub("“…”", output)
    lines = [" ".join(_NUMBER.sub("#", _ID.sub("ID", line)).split()) for line in text.splitlines()]
    return [line for line in lines if line and "tokens/s" not in line and line[0] not in "┏┡└"]


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block, with the output that the page shows below it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        end = next(n for n in range(1, len(lines) + 1) if _complete("\n".join(lines[:n])))
        yield "\n".join(lines[:end]), "\n".join(lines[end:])


def _complete(command: str) -> bool:
    if command.endswith("\\"):
        return False
    try:
        shlex.split(command)
    except ValueError:  # a quotation that goes on
        return False
    return True


@dataclass
class Terminal:
    """A folder to work in, with the variables that were exported so far, and the proxy that was started last."""

    folder: Path
    port: int
    exports: list[str] = field(default_factory=list)
    proxy: subprocess.Popen[bytes] | None = None

    def run(self, command: str) -> str:
        """Returns what it printed. An export is kept; ``kvproxy serve`` goes on in the background."""
        command = command.replace("8321", str(self.port))
        if command.startswith("export "):
            self.exports.append(command)
            return ""
        if command.startswith("kvproxy serve"):
            return self._serve(command)
        script = "\n".join(["set -eu", *self.exports, command])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return f"{done.stdout}\n{done.stderr}"

    def stop(self) -> None:
        """Ends the proxy as Ctrl-C does."""
        if self.proxy is not None:
            self.proxy.send_signal(signal.SIGINT)
            assert self.proxy.wait(120) in (0, 130)
            self.proxy = None

    def _serve(self, command: str) -> str:
        self.stop()
        announced, log = self.folder / "announced", self.folder / "serve.log"
        announced.unlink(missing_ok=True)
        script = "\n".join([*self.exports, f"exec {command} --port {self.port} --announce-file announced"])
        with log.open("wb") as out:
            self.proxy = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self._variables(), stdout=out, stderr=out
            )
        deadline = time.monotonic() + START_S
        while not announced.exists():
            assert self.proxy.poll() is None and time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        lines = log.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("serving ")).replace(str(self.port), "8321")

    def _variables(self) -> dict[str, str]:
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("KVPROXY_", "OPENAI_"))
        }
        own.pop("OMP_NUM_THREADS", None)  # a person's proxy has all cores
        return {
            **own,
            "PATH": f"{self.folder / 'bin'}:{own['PATH']}",
            "PYTHONPATH": str(ROOT),
            "KVPROXY_URL": f"http://127.0.0.1:{self.port}",
            "COLUMNS": "200",
        }


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = {"kvproxy": f"{shlex.quote(sys.executable)} -m kvproxy", "python": shlex.quote(sys.executable)}
    (tmp_path / "bin").mkdir()
    for name, start in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {start} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
    text = (ROOT / "examples" / "documents" / "apache-2.0.txt").read_text(encoding="utf-8")
    (tmp_path / "licence.txt").write_text(text, encoding="utf-8")
    terminal = Terminal(tmp_path, port)
    yield terminal
    if terminal.proxy is not None:
        terminal.proxy.kill()
        terminal.proxy.wait()


def follow(page: Path, terminal: Terminal) -> list[tuple[str, str]]:
    """Does what the page says. Returns what each command printed, in order."""
    printed: list[tuple[str, str]] = []
    for snippet in fenced(page):
        if snippet.title:
            (terminal.folder / snippet.title).write_text(snippet.text, encoding="utf-8")
        elif snippet.language == "console":
            printed += _checked(snippet, terminal)
    return printed


def _checked(snippet: Snippet, terminal: Terminal) -> list[tuple[str, str]]:
    printed = []
    for command, shown in commands(snippet.text):
        told = terminal.run(command)
        assert shape(told) == shape(shown), f"{snippet.where}: {command}\n{told}"
        printed.append((command, told))
    return printed


def test_a_first_document(smollm2: Path, terminal: Terminal) -> None:
    printed = follow(TUTORIAL / "first-document.md", terminal)
    kept = [int(n) for _, told in printed for n in re.findall(r"; (\d+) of \d+ tokens were kept", told)]
    assert kept[0] == 0 and len(kept) == 3 and min(kept[1:]) > 2200
    answers = [told.partition("first token")[0] for command, told in printed if "trademarks" in command]
    assert len(answers) == 2 and answers[0] == answers[1]
    assert "4 of 4 exact" in dict(printed)["kvproxy verify licence"]
    terminal.stop()


def test_a_paid_read(smollm2: Path, terminal: Terminal) -> None:
    printed = follow(TUTORIAL / "paid-read.md", terminal)
    told = "".join(text for _, text in printed)
    assert "1 of 1 reads proven" in told and "all of it holds" in told
    share = re.findall(r"of it ([\d.]+) for acme", told)
    assert share and f"{share[0]} USD for acme" in told and f"{share[0]} for the publisher" in told
    terminal.stop()


def test_the_shape_of_an_output() -> None:
    progress, answer = "x: 3/272 tensors, 9 tokens/s\n", "“an answer\nof two lines”\n"
    told = f"{progress}{answer}first token after 0.52 s; 0 of 2,239 kept\n┏━┓\n│ a  │ 1 │"
    assert shape(told) == ["“…”", "first token after # s; # of # kept", "│ a │ # │"]
    block = "$ export A=1\n$ curl -d '{\n  \"a\": 1\n}' x\n{}\n$ kvproxy docs list > y\n"
    assert list(commands(block)) == [
        ("export A=1", ""),
        ("curl -d '{\n  \"a\": 1\n}' x", "{}"),
        ("kvproxy docs list > y", ""),
    ]
