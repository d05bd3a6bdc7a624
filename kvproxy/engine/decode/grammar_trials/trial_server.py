"""The trial server: a process that compiles each grammar in a child with limits of CPU time and memory.

The library compiles in one call that nothing can interrupt, and a hostile schema keeps it busy for ever, exhausts the
memory or overflows the stack. Such a child is killed, and the tokenizer's tables, which all children share by fork,
stay. Run as a program of its own, by path: it imports the standard library and llguidance alone.

stdin: ``{"id", "grammar", "cpu_s"}`` or ``{"cancel"}``, one JSON object in each line. stdout: ``{"id", "fault"}`` when
a child has a result, then ``{"id", "cpu_s", "signal"}`` when the child has ended. The server ends with stdin.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

MEMORY = 512 * 2**20
"""Bytes that a child may allocate beyond those that it was forked with."""
STACK = 2**20
"""Bytes of a child's stack. The thread that compiles the same grammar afterwards has several times as much."""
_LONGEST_FAULT = 300
"""Characters of a message: in a line of ASCII JSON at most 12 bytes each, and a line of at most 4,096 bytes is written
to a pipe in one piece, even with several writers."""


def parser_limits() -> LLParserLimits:
    """Return the library's own limits: of a step (a mask keeps the engine thread for 10 to 20 ms at most) and of the
    lexer states of an answer (1 to 2 kB each)."""
    return LLParserLimits(
        step_max_items=20_000,
        step_lexer_fuel=100_000,
        max_lexer_states=50_000,
        # Error messages go to clients and must not quote the parser's state.
        verbose_errors=False,
    )


def compile_fault(matcher: LLMatcher) -> str:
    """Return the reason that no answer could follow this grammar; empty if one can.

    The library finds some faults (a schema that is nothing but itself, too many choices in one place) only when it is
    asked for a first token, and a forced beginning is passed over. ``matcher`` is left as it is.
    """
    trial = matcher.deep_copy()
    trial.compute_bitmask()
    if not trial.is_error() and not trial.is_stopped() and (forced := trial.compute_ff_tokens()):
        if trial.consume_tokens(forced) and not trial.is_stopped():
            trial.compute_bitmask()
    return str(trial.get_error()) if trial.is_error() else ""


class TrialServer:
    """Forks a child for each grammar and reports its result."""

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._children: dict[int, int] = {}
        """Ids of requests by process."""

    def run(self) -> None:
        """Serve requests until stdin ends."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake)
        rest = b""
        while True:
            ready, _, _ = select.select([0, woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
                self._reap()
            if 0 in ready:
                piece = os.read(0, 2**20)
                if not piece:
                    break
                *lines, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
                for line in lines:
                    self._obey(json.loads(line))
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _obey(self, message: dict[str, Any]) -> None:
        if "cancel" in message:
            for pid, number in self._children.items():
                if number == message["cancel"]:
                    os.kill(pid, signal.SIGKILL)
            return
        pid = os.fork()
        if pid:
            self._children[pid] = message["id"]
            return
        try:
            _limit(message["cpu_s"])
            _report({"id": message["id"], "fault": self._fault(message["grammar"])})
        finally:
            os._exit(0)

    def _fault(self, grammar: str) -> str:
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=parser_limits())
        return compile_fault(matcher)[:_LONGEST_FAULT]

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            cpu_s = usage.ru_utime + usage.ru_stime
            _report({"id": self._children.pop(pid), "cpu_s": cpu_s, "signal": ended})


def _limit(cpu_s: float) -> None:
    """Limit this process from now on; it is killed by SIGPROF, by a failed allocation, or by its stack."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, most))
    statm = Path("/proc/self/statm")
    if statm.exists():
        size = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    signal.setitimer(signal.ITIMER_PROF, cpu_s)


def _report(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def main(folder: str, vocab_size: int, eos_ids: list[int]) -> None:
    """Load the tokenizer and serve trials.

    Example: ``main("models/smollm2", 49_152, [2])``
    """
    source = (Path(folder) / "tokenizer.json").read_text(encoding="utf-8")
    server = TrialServer(LLTokenizer(source, n_vocab=vocab_size, eos_token=eos_ids))
    del source
    gc.freeze()
    server.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), [int(x) for x in sys.argv[3:]])
