"""A server that a measurement starts, as a process group of its own, and never leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from benchmarks.memory import tree

STOP_S = 15.0
_LOG_LINES = 15
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Of the environment that measures, not of the one that is measured."""


class NotStarted(Exception):
    """A server could not be installed or did not come up; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A server's command line and environment."""

    command: Sequence[str]
    model: str
    """The model's name in requests to it."""
    env: Mapping[str, str] = field(default_factory=dict)
    probe: Mapping[str, str] = field(default_factory=dict)
    """Fields of the request that finds out whether it is ready, besides the plainest."""
    own_python: bool = True
    """Whether it runs in an environment of its own; False: in the one that measures."""


class Server:
    """A server in a process of its own.

    ``with Server(...) as server``: answers at ``server.url`` until the block ends. Its log goes to a file.
    It is ready once it has answered a chat request: several servers list their models long before they can.
    Raises NotStarted, with the end of the log.
    """

    def __init__(self, launch: Launch, *, port: int, log: Path, start_s: float) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.took_s = 0.0
        """From the start to the first answer."""
        self._launch = launch
        self._log = log
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def wait(self) -> int:
        """Until it ends by itself: its exit status."""
        assert self._process is not None
        return self._process.wait()

    def _start(self) -> None:
        dropped = _NOT_PASSED_ON if self._launch.own_python else ()
        env = {k: v for k, v in os.environ.items() if k not in dropped} | dict(self._launch.env)
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._launch.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                start_new_session=True,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise NotStarted(f"it ended with status {self._process.returncode}{self._tail()}")
            if time.monotonic() - began > self._start_s:
                raise NotStarted(f"it was not ready after {self._start_s:.0f} s{self._tail()}")
            time.sleep(0.25)
        self.took_s = time.monotonic() - began

    def _answers(self) -> bool:
        message = {"role": "user", "content": "Hello"}
        plain = {"model": self._launch.model, "messages": [message], "max_tokens": 2, "temperature": 0}
        body = {**plain, **self._launch.probe}
        try:
            with httpx.Client(trust_env=False, timeout=120.0) as http:
                return http.post(f"{self.url}/chat/completions", json=body).is_success
        except httpx.HTTPError:
            return False

    def _stop(self) -> None:
        """Send SIGTERM to all its processes, then SIGKILL to those left; also to children that left the group."""
        process, self._process = self._process, None
        if process is None:
            return
        below = tree(process.pid)
        try:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            psutil.wait_procs(below, timeout=STOP_S)
        finally:  # a Ctrl-C while waiting must not leave it behind either
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            for child in below:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            process.wait()
            psutil.wait_procs(below, timeout=STOP_S)

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "; its log ends:" + "".join(f"\n  {line}" for line in lines)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
