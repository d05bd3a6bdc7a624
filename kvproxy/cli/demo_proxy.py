"""The proxy that the demo starts, restarts and never leaves behind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kvproxy.errors import KVProxyError

START_S = 600.0
STOP_S = 60.0
_LOG_LINES = 20


class ProxyFailed(KVProxyError):
    """The message ends with the last lines of the proxy's log."""


class DemoProxy:
    """``with DemoProxy(...) as proxy``: a subprocess that serves at ``proxy.url`` until the block ends."""

    def __init__(
        self,
        command: Sequence[str],
        config: Path,
        folder: Path,
        *,
        start_s: float = START_S,
        stop_s: float = STOP_S,
    ) -> None:
        self._announced = folder / "url"
        self._log = folder / "proxy.log"
        self._command = (*command, "serve", "--config", str(config), "--announce-file", str(self._announced))
        self._start_s, self._stop_s = start_s, stop_s
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

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

    def restart(self) -> None:
        """End it as an operator would (SIGTERM) and start it on the same store."""
        status = self._end()
        if status != 0:
            raise ProxyFailed(f"the proxy ended with status {status} when asked to stop{self._tail()}")
        self._start()

    def _start(self) -> None:
        self._announced.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + self._start_s
        while not self._announced.exists():
            if self._process.poll() is not None:
                raise ProxyFailed(f"the proxy ended with status {self._process.returncode}{self._tail()}")
            if time.monotonic() > deadline:
                raise ProxyFailed(f"the proxy was not ready after {self._start_s:.0f} s{self._tail()}")
            time.sleep(0.05)
        self.url = self._announced.read_text(encoding="utf-8").strip()

    def _end(self) -> int | None:
        """SIGTERM, and SIGKILL for one that does not listen; None when there was none."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        except BaseException:  # a second Ctrl-C while waiting must not leave it behind either
            process.kill()
            process.wait()
            raise

    def _tail(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return "".join(f"\n  {line}" for line in ("; its log ends:", *lines))
