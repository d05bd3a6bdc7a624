"""`CompletionReader`: the chunks of one answer to events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvproxy.backends.fleet.completion_chunks import (
    AnsweredChoice,
    ChunkLogprobs,
    ChunkUsage,
    CompletionChunk,
)
from kvproxy.events import FinishReason, Likelihood, TextDelta, TokenLogprob

TokenName = Callable[[int], bytes]
"""Returns the UTF-8 bytes that a token's id stands for."""

_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class CompletionReader:
    """Collects one answer's text, tokens and counts.

    A chunk may stand for several tokens, and a token for no text yet: text that may become a stop string, or half a
    character, is held back by the replica. Such tokens are counted with the next text.
    """

    def __init__(self, name: TokenName | None = None, alternatives: int = 0) -> None:
        """``name``: the bytes of a token, where the request asks for logprobs, with so many ``alternatives`` each."""
        self._name = name
        self._alternatives = alternatives
        self._waiting: list[TokenLogprob] = []
        self._shown = 0
        """Tokens whose text was returned."""
        self.generated = 0
        """Tokens so far, those without text included."""
        self.reason: FinishReason | None = None
        self.stopped_by: str | None = None
        self.aborted: str | None = None
        """The replica's reason for an answer that it gave up."""
        self.usage: ChunkUsage | None = None
        """The final counts, once they have come."""
        self.fingerprint: str | None = None
        self.started = False
        """Whether a token has come."""

    @property
    def cached_tokens(self) -> int | None:
        """The prompt's positions that the replica took from its cache; None where it does not say."""
        details = self.usage.prompt_tokens_details if self.usage is not None else None
        return None if details is None else details.cached_tokens

    @property
    def created_tokens(self) -> int | None:
        """The prompt's positions that the replica computed and cached; None where it does not say."""
        details = self.usage.prompt_tokens_details if self.usage is not None else None
        return None if details is None else details.created_cache_tokens

    def read(self, chunk: CompletionChunk) -> TextDelta | None:
        """Take one chunk; return its text, where it has some."""
        if chunk.system_fingerprint:
            self.fingerprint = chunk.system_fingerprint
        if not chunk.choices:
            self.usage = chunk.usage or self.usage
            if self.usage is not None:
                self.generated = max(self.generated, self.usage.completion_tokens or 0)
            return None
        choice = chunk.choices[0]
        self._count(choice, chunk.usage)
        self._finish(choice)
        return self._delta(choice.text) if choice.text else None

    def rest(self) -> TextDelta | None:
        """Return the logprobs of tokens that no text came for: the end of an answer may have none."""
        if not self._waiting:
            return None
        return self._delta("")

    def _count(self, choice: AnsweredChoice, usage: ChunkUsage | None) -> None:
        if choice.logprobs is not None and self._name is not None:
            self._waiting += _logprobs(choice.logprobs, self._name, self._alternatives)
        if usage is not None and usage.completion_tokens is not None:
            self.generated = max(self.generated, usage.completion_tokens)
        elif choice.logprobs is not None:
            self.generated += len(choice.logprobs.tokens)
        elif choice.text:
            self.generated += 1  # a replica without counts in each chunk: its last one corrects this
        self.started = (
            self.started or self.generated > 0 or bool(choice.text) or choice.finish_reason is not None
        )

    def _finish(self, choice: AnsweredChoice) -> None:
        if choice.finish_reason is None:
            return
        self.reason = _REASONS.get(choice.finish_reason)
        if self.reason is None:
            self.aborted = choice.finish_reason
        if isinstance(choice.stop_reason, str):
            self.stopped_by = choice.stop_reason
        elif self.reason == "stop" and self._waiting:
            self._waiting.pop()  # the end token's: it is counted and not shown

    def _delta(self, text: str) -> TextDelta:
        tokens, self._shown = max(0, self.generated - self._shown), max(self._shown, self.generated)
        logprobs, self._waiting = tuple(self._waiting), []
        return TextDelta(text, tokens, logprobs)


def _logprobs(found: ChunkLogprobs, name: TokenName, most: int) -> list[TokenLogprob]:
    tops: Sequence[dict[str, float] | None] = found.top_logprobs or [None] * len(found.tokens)
    done = []
    for token, logprob, top in zip(found.tokens, found.token_logprobs, tops, strict=False):
        chosen = _likelihood(token, 0.0 if logprob is None else logprob, name)
        others = sorted((top or {}).items(), key=lambda item: -item[1])[:most]
        done.append(TokenLogprob(chosen, tuple(_likelihood(t, value, name) for t, value in others)))
    return done


def _likelihood(token: str, logprob: float, name: TokenName) -> Likelihood:
    id = int(token.removeprefix("token_id:"))
    return Likelihood(id, name(id), logprob)
