"""An answer with the times of its tokens, read from another thread than the engine's."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.loop.sequence import Sequence as EngineSequence
from kvproxy.events import Event, Finished, Started, TextDelta


@dataclass(frozen=True, slots=True)
class Timed:
    """One answer. Times in seconds, as the reader on another thread would see them."""

    tokens: tuple[int, ...]
    """The answer's ids."""
    ttft_s: float
    """From submitting to the first token; for a job without an answer, to its end."""
    gaps_s: tuple[float, ...]
    """Between one token and the next; tokens of one step come at once."""
    cached_tokens: int
    queue_s: float
    load_s: float
    prefill_s: float
    wall_s: float
    began_at: float
    """``time.perf_counter()`` when it was submitted."""


class IdVocabulary(Vocabulary):
    """Shows every token as its id, so that each makes a delta of its own: for models without a tokenizer, and
    for the times of single tokens."""

    def __init__(self) -> None:  # no folder to read
        self.byte_level = True

    def token_bytes(self, token_id: int) -> bytes:
        """See ``Vocabulary.token_bytes``."""
        return b"%d " % token_id

    def literal_bytes(self, token_id: int) -> bytes:
        """See ``Vocabulary.literal_bytes``."""
        return self.token_bytes(token_id)

    def decode(self, ids: Sequence[int]) -> str:
        """See ``Vocabulary.decode``."""
        return b"".join(self.token_bytes(i) for i in ids).decode()


class TimedAnswer:
    """A job that was submitted. ``emit`` is called on the engine's thread, all else by one other."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[float, Event | BaseException]] = queue.SimpleQueue()
        self._began = time.perf_counter()
        self._started: Started | None = None
        self._shown: list[float] = []
        self._ended = 0.0
        self._over = False
        self.sequence: EngineSequence
        """Set once it is queued."""

    def emit(self, event: Event | BaseException) -> None:
        """Take an event of the engine, with the time of its arrival."""
        self._events.put((time.perf_counter(), event))

    def read(self, tokens: int) -> TimedAnswer:
        """Wait until so many tokens have arrived, or all. Raises the engine's error."""
        while not self._over and len(self._shown) < tokens:
            self._next()
        return self

    def end(self) -> Timed:
        """Wait for the last token. Raises the engine's error."""
        while not self._over:
            self._next()
        seq, started = self.sequence, self._started
        assert started is not None, "an answer that ended well has begun"
        shown = self._shown or [self._ended]
        return Timed(
            tokens=tuple(seq.tokens[seq.prompt_tokens :]),
            ttft_s=shown[0] - self._began,
            gaps_s=tuple(b - a for a, b in pairwise(shown)),
            cached_tokens=started.cached_tokens,
            queue_s=started.queue_s,
            load_s=started.load_s,
            prefill_s=started.prefill_s,
            wall_s=self._ended - self._began,
            began_at=self._began,
        )

    def _next(self) -> None:
        at, event = self._events.get()
        if isinstance(event, BaseException):
            self._over = True
            raise event
        if isinstance(event, Started):
            self._started = event
        elif isinstance(event, TextDelta):
            self._shown += [at] * event.tokens
        elif isinstance(event, Finished):
            self._ended, self._over = at, True
