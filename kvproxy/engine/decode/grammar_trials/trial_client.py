"""The client of ``trial_server``: starts the process, sends it grammars, and restarts it after it has died."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from kvproxy.engine.decode.grammar_trials import trial_server
from kvproxy.errors import Unavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one trial."""

    fault: str | None
    """The library's message, or the reason that the child was killed; None if the grammar can be compiled."""
    cpu_s: float


class TrialClient:
    """A process of ``trial_server``. Methods may be called from any thread; only :meth:`close` blocks."""

    def __init__(self, folder: Path, vocab_size: int, eos_ids: Collection[int]) -> None:
        """``folder``: with ``tokenizer.json``; ``vocab_size``: width of the logits. The process is not started yet.

        Example: ``TrialClient(folder, 49_152, {2})``
        """
        self._arguments = [str(folder), str(vocab_size), *map(str, sorted(eos_ids))]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: threading.Thread | None = None
        self._outbox: SimpleQueue[dict[str, object] | None] = SimpleQueue()
        self._numbers = count()
        self._waiting: dict[int, Future[Verdict]] = {}
        self._closed = False

    def start(self) -> None:
        """Start the process, which takes the time of building the tokenizer's tables; else the first submit does."""
        self._put({})

    def submit(self, grammar: str, cpu_s: float) -> tuple[int, Future[Verdict]]:
        """Try to compile ``grammar`` within ``cpu_s`` seconds; returns a number for :meth:`cancel`, and the verdict.

        The future raises Unavailable when the process ends.
        """
        found: Future[Verdict] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = found
        self._put({"id": number, "grammar": grammar, "cpu_s": cpu_s})
        return number, found

    def cancel(self, number: int) -> None:
        """Kill the trial's child process; its future gets a verdict all the same. Idempotent."""
        self._put({"cancel": number})

    def close(self) -> None:
        """End the process and its trials. Idempotent."""
        with self._lock:
            self._closed = True
            process, writer = self._process, self._writer
        self._outbox.put(None)
        if process is not None:
            _end(process)
        if writer is not None:
            writer.join()
        self._fail_all()

    def _put(self, message: dict[str, object]) -> None:
        with self._lock:
            if self._writer is None and not self._closed:
                self._writer = threading.Thread(target=self._write, name="kvproxy-trials-out", daemon=True)
                self._writer.start()
        self._outbox.put(message)
        if self._closed:
            self._fail_all()

    def _write(self) -> None:
        while (message := self._outbox.get()) is not None:
            try:
                stdin = self._started().stdin
                assert stdin is not None
                if message:
                    stdin.write(json.dumps(message).encode() + b"\n")
                    stdin.flush()
            except (OSError, Unavailable) as e:
                logger.warning("grammars cannot be compiled now; requests with one get an error: %s", e)
                self._fail_all()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise Unavailable("the server is shutting down")
            if self._process is not None and self._process.poll() is not None:
                _end(self._process)
                self._process = None
            if self._process is None:
                # By path: the package's own imports would load torch. Of a session of its own: Ctrl-C is not for it.
                self._process = subprocess.Popen(
                    [sys.executable, trial_server.__file__, *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                reader = threading.Thread(
                    target=self._read, args=(self._process.stdout,), name="kvproxy-trials-in", daemon=True
                )
                reader.start()
            return self._process

    def _read(self, stdout: IO[bytes]) -> None:
        faults: dict[int, str] = {}
        with stdout:
            for line in stdout:
                message = json.loads(line)
                number = message["id"]
                if "fault" in message:
                    faults[number] = message["fault"]
                    continue
                verdict = _verdict(faults.pop(number, None), message["cpu_s"], message["signal"])
                with self._lock:
                    found = self._waiting.pop(number, None)
                if found is not None:
                    found.set_result(verdict)
        self._fail_all()

    def _fail_all(self) -> None:
        """Fail all trials under way with Unavailable."""
        with self._lock:
            failed, self._waiting = self._waiting, {}
        for found in failed.values():
            found.set_exception(
                Unavailable("the process that compiles grammars has ended; try again in a moment")
            )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with its children, which are of its group; it may have ended by itself."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):  # The process had not read the last line to its end.
            process.stdin.close()


_KILLED = {
    signal.SIGPROF: "compiling it takes more than {cpu_s:.1f} s",
    signal.SIGABRT: "compiling it takes more than {memory} MiB of memory",
    signal.SIGSEGV: "it refers too deeply to be compiled",
}


def _verdict(fault: str | None, cpu_s: float, signalled: int) -> Verdict:
    if fault is not None and not signalled:
        return Verdict(fault or None, cpu_s)
    why = next((text for number, text in _KILLED.items() if number == signalled), "compiling it was ended")
    return Verdict(why.format(cpu_s=cpu_s, memory=trial_server.MEMORY >> 20), cpu_s)
