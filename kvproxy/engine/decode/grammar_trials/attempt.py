"""`Attempt`: the trials of one compilation, with a budget of CPU time for all of them."""

from __future__ import annotations

import threading

from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.errors import Unavailable

TRIAL_CPU_S = 2.0
"""CPU seconds of one trial. A grammar that passes is compiled once more in this process, in about the same time."""
ATTEMPT_CPU_S = 8.0
"""CPU seconds of all trials of one compilation: the grammar as a whole, each schema alone, schemas without a keyword,
and the remaining grammar as a whole, for which TRIAL_CPU_S are set aside."""
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
        """Return the reason that ``grammar`` cannot be compiled, None if it can. ``part``: one schema of a whole.

        Blocks until the trial is over. Raises Unavailable when the attempt or the process was ended.
        Example: ``attempt.check(grammar, part=True)``
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
        """Kill the trial under way; no other is begun."""
        with self._lock:
            self._ended = True
            current = self._current
        if current is not None:
            self._trials.cancel(current)
