"""One compilation's use of ``trial_server``: a budget of CPU time for all its trials, and a way to end it."""

from __future__ import annotations

import threading

from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.errors import Unavailable

TRIAL_CPU_S = 2.0
"""Seconds of one trial. What passes is compiled once more in this process, in about the same time."""
ATTEMPT_CPU_S = 8.0
"""Seconds of all trials of one compilation: the grammar as a whole, each schema alone, schemas without a keyword, and,
for which TRIAL_CPU_S are left over, the whole of what they leave."""
_LEAST_S = 0.05


class Attempt:
    """Trials of one compilation, made on one thread and ended from any other."""

    def __init__(self, trials: TrialClient) -> None:
        self._trials = trials
        self._left_s = ATTEMPT_CPU_S
        self._lock = threading.Lock()
        self._current: int | None = None
        self._ended = False

    def check(self, grammar: str, *, part: bool = False) -> str | None:
        """Why ``grammar`` cannot be compiled, None where it can. ``part``: it is one schema of a whole.

        Blocks until the trial is over. Raises Unavailable where the attempt was ended, or the process was.
        """
        cpu_s = min(TRIAL_CPU_S, self._left_s - TRIAL_CPU_S if part else self._left_s)
        if cpu_s < _LEAST_S:
            return f"compiling it takes more than {ATTEMPT_CPU_S:.0f} s"
        with self._lock:
            if self._ended:
                raise Unavailable("the compilation was ended")
            self._current, found = self._trials.submit(grammar, cpu_s)
        verdict = found.result()
        with self._lock:
            self._current = None
            if self._ended:
                raise Unavailable("the compilation was ended")
        self._left_s -= verdict.cpu_s
        return verdict.fault

    def end(self) -> None:
        """The trial under way is killed, and no other is begun."""
        with self._lock:
            self._ended = True
            current = self._current
        if current is not None:
            self._trials.cancel(current)
