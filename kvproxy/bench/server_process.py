"""Servers that a measurement starts, each a process of its own, and never leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from kvproxy.errors import SetupError

START_S = 180.0
STOP_S = 20.0
_LOG_LINES = 20
_QUICK_S = 10.0


class Child:
    """``with Child(...) as child``: serves at ``child.url`` until the block ends. Its log goes to a file.

    ``ready`` is polled and returns the base URL as soon as requests are served. Raises SetupError, with the end
    of the log, when the process ends or is not ready in time. ``own_group``: a Ctrl-C at the terminal does not reach
    it, and what it has started itself ends with it.
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
        own_group: bool = False,
    ) -> None:
        self.name = name
        self.url = ""
        self._command = tuple(command)
        self._ready = ready
        self._log = folder / f"{name}.log"
        self._env = {**os.environ, **(env or {})}
        self._start_s = start_s
        self._own_group = own_group
        self._launched = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.launch()
            self.wait()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

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
        self.end()
        return int(process.returncode)

    def launch(self) -> None:
        """Start the process; :meth:`wait` finds out when it serves. For several at once: see `started_together`."""
        self._launched = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=self._own_group,
            )

    def wait(self) -> float:
        """Wait until it serves; the seconds since its launch. Raises SetupError as entering does."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        while (url := self._ready()) is None:
            if self._process.poll() is not None:
                raise SetupError(f"{self.name} ended with status {self._process.returncode}{self._tail()}")
            waited = time.monotonic() - self._launched
            if waited > self._start_s:
                raise SetupError(f"{self.name} was not ready after {self._start_s:.0f} s{self._tail()}")
            time.sleep(0.05 if waited < _QUICK_S else 0.5)  # a slow start is not slowed further by its poller
        self.url = url
        return time.monotonic() - self._launched

    def end(self) -> None:
        """Send SIGTERM, and SIGKILL to one that does not listen. Nothing happens where it has ended."""
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
        finally:
            if self._own_group:  # with what its leader left behind; the group is gone where that was nothing
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "; its log ends:" + "".join(f"\n  {line}" for line in lines)


@contextmanager
def started_together(
    children: Sequence[Child], say: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Start all at once, wait for each, and end all with the block, whatever happened. Raises SetupError.

    Example: ``with started_together([one, other], print): ...``
    """
    with ExitStack() as running:
        for child in children:
            running.callback(child.end)
            child.launch()
        for child in children:
            say(f"{child.name} is ready after {child.wait():.0f} s")
        yield


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """End ``with`` blocks at SIGTERM as at Ctrl-C, so that servers in groups of their own end too. Main thread only."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def announced(file: Path) -> Callable[[], str | None]:
    """Ready when a whole line, the base URL, stands in ``file``."""

    def ready() -> str | None:
        line = file.read_text(encoding="utf-8") if file.exists() else ""
        return line.strip() if line.endswith("\n") else None

    return ready


def announce_to(file: Path) -> Callable[[str, int], None]:
    """Write the child's side of :func:`announced` at once: its reader never sees half of it."""

    def announce(host: str, port: int) -> None:
        temporary = file.with_name(file.name + ".tmp")
        temporary.write_text(f"http://{host}:{port}\n", encoding="utf-8")
        temporary.replace(file)

    return announce
