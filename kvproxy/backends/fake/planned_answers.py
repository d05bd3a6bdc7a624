"""`PlannedAnswers`: what tests and clients plan for the fake backend: the answers it says, and the errors it raises."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kvproxy.backends.base import Generation, Kept
from kvproxy.backends.fake.fake_answers import answer_to, constrained_answer, words_of
from kvproxy.core import Caller
from kvproxy.core.replica_choice import ReplicaResidency


class PlannedAnswers:
    """The plan of a fake backend, which takes an answer or a failure off it with each call."""

    def __init__(self) -> None:
        self._failures: deque[tuple[BaseException, int]] = deque()
        self._answers: deque[str] = deque()
        self.scripted: Callable[[Generation], str | None] | None = None
        """A function that chooses the answers of generations that ``say_next`` did not plan, for clients in other
        processes. None of it: the usual answer."""
        self.replicas: tuple[ReplicaResidency, ...] = ()
        """The part of any prefix that each replica holds, where this stands for a fleet."""

    def replicas_of(self, kept: Kept, caller: Caller) -> tuple[ReplicaResidency, ...]:
        """See ``LocalBackend.replicas_of``: ``replicas`` as they were planned."""
        return self.replicas

    def fail_next(self, error: BaseException, *, after_words: int = -1) -> None:
        """Make the next generation or ``keep`` raise ``error``: before Started, or after so many words."""
        self._failures.append((error, after_words))

    def say_next(self, text: str) -> None:
        """Make the next generation say ``text``, raw as a model would, think blocks and tool calls included."""
        self._answers.append(text)

    @property
    def planned(self) -> bool:
        """Whether the next answer is planned with ``say_next``."""
        return bool(self._answers)

    def next_failure(self) -> tuple[BaseException | None, int]:
        """Take the next planned error, and the words after which it is raised: -1 for before Started."""
        return self._failures.popleft() if self._failures else (None, -1)

    def words(self, generation: Generation) -> list[str]:
        """Return the words of the next answer: planned, chosen by ``scripted``, fitting its constraint, or the usual.

        Example: ``backend.words(generation)``
        """
        if self._answers:
            return words_of(self._answers.popleft())
        if self.scripted is not None and (text := self.scripted(generation)) is not None:
            return words_of(text)
        if generation.constraint is not None:
            text = constrained_answer(generation.constraint)
            if text is not None:
                return words_of(text)
        return answer_to(generation.prompt.token_ids)
