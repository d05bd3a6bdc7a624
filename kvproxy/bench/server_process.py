"""Servers that a measurement starts, each a process of its own, and never leaves behind."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from kvproxy.errors import SetupError

START_S = 180.0
STOP_S = 20.0
_LOG_LINES = 20


class Child:
    """``with Child(...) as child``: serves at ``child.url`` until the block ends. Its log goes to a file.

    ``ready`` is polled and returns the base URL as soon as requests are served. Raises SetupError, with the end
    of the log, when the process ends or is not ready in time.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], str | None],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        start_s: float = START_S,
    ) -> None:
        self.name = name
        self.url = ""
        self._command = tuple(command)
        self._ready = ready
        self._log = folder / f"{name}.log"
        self._env = {**os.environ, **(env or {})}
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def cpu_s(self) -> float:
        """Processor seconds that the process and its children have used so far."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        process = psutil.Process(self._process.pid)
        times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
        return float(sum(t.user + t.system for t in times))

    def rss(self) -> int:
        """Resident bytes of the process and its children; pages that they share count for each."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        process = psutil.Process(self._process.pid)
        return int(sum(p.memory_info().rss for p in (process, *process.children(recursive=True))))

    def stop(self) -> int:
        """End it as an operator would; its exit status. Further calls of anything else are errors."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.name} is not running")
        self._end()
        return int(process.returncode)

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env
            )
        deadline = time.monotonic() + self._start_s
        while (url := self._ready()) is None:
            if self._process.poll() is not None:
                raise SetupError(f"{self.name} ended with status {self._process.returncode}{self._tail()}")
            if time.monotonic() > deadline:
                raise SetupError(f"{self.name} was not ready after {self._start_s:.0f} s{self._tail()}")
            time.sleep(0.05)
        self.url = url

    def _end(self) -> None:
        """SIGTERM, and SIGKILL for one that does not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S)
        except BaseException as e:  # a Ctrl-C while waiting must not leave it behind either
            process.kill()
            process.wait()
            if not isinstance(e, subprocess.TimeoutExpired):
                raise

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "; its log ends:" + "".join(f"\n  {line}" for line in lines)


def announced(file: Path) -> Callable[[], str | None]:
    """Ready when a base URL stands in ``file``."""
    return lambda: file.read_text(encoding="utf-8").strip() if file.exists() else None


def announce_to(file: Path) -> Callable[[str, int], None]:
    """Write the child's side of :func:`announced` at once: its reader never sees half of it."""

    def announce(host: str, port: int) -> None:
        temporary = file.with_name(file.name + ".tmp")
        temporary.write_text(f"http://{host}:{port}\n", encoding="utf-8")
        temporary.replace(file)

    return announce
