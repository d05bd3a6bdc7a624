"""A proxy in a process of its own, started as a person would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

START_S = 120.0
STOP_S = 60.0


class Served:
    """``with Served(folder, model, config) as proxy``: serves at ``proxy.url`` until the block ends.

    ``config`` has the sections of config.yaml; ``model`` None: only what it says about models counts. Store,
    configuration and one log per start are in ``folder``.
    """

    def __init__(self, folder: Path, model: Path | None, config: dict[str, Any] | None = None) -> None:
        self.folder, self.store = folder, folder / "store"
        self._model = model
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.configure(config or {})

    def configure(self, config: dict[str, Any]) -> None:
        """For the next start. Unless it says otherwise, documents are kept in system messages only."""
        config = {"documents": {"framings": [{"place": "system"}]}, **config}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def start(self, *arguments: str) -> None:
        """Returns once requests are served. ``arguments`` are added to the command line."""
        self._starts += 1
        announced = self.folder / f"url-{self._starts}"
        command = [sys.executable, "-m", "kvproxy", "serve", "--config", str(self.folder / "config.yaml")]
        command += [] if self._model is None else ["--model", str(self._model)]
        command += ["--port", "0", "--store", str(self.store)]
        command += ["--announce-file", str(announced), *arguments]
        own = dict(os.environ)
        if "PYTEST_XDIST_WORKER" in own:
            own.pop(
                "OMP_NUM_THREADS", None
            )  # one for the tests of tiny models; a person's proxy has all cores
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=own, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_S
        while not announced.exists():
            status = self._process.poll()
            assert status is None, f"the proxy ended with status {status}:\n{self.log}"
            assert time.monotonic() < deadline, f"the proxy was not ready in time:\n{self.log}"
            time.sleep(0.02)
        self.url = announced.read_text(encoding="utf-8").strip()

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit status of a process that was told to end."""
        assert self._process is not None
        process, self._process = self._process, None
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the proxy did not end:\n{self.log}") from None

    def stop(self) -> int:
        """As an operator would: SIGTERM. The exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    @property
    def log(self) -> str:
        """Of the latest start."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.folder / f"proxy-{self._starts}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if error is not None:
            self.kill()
            return
        assert self.stop() == 0, self.log
        assert "Traceback" not in self.log
