"""Text completion answers, streamed and not, exactly as OpenAI's specification has them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kvproxy.errors import KVProxyError
from kvproxy.events import Event, Finished, FinishReason, Likelihood, Started, TextDelta, TokenLogprob, Usage
from kvproxy.wire.answers import event_bytes
from kvproxy.wire.answers.answer_reader import Answer
from kvproxy.wire.answers.logprob_bodies import LEAST_LOGPROB
from kvproxy.wire.chat.chat_response import usage_body
from kvproxy.wire.completions.completion_types import CompletionChoice, CompletionLogprobs, TextCompletion


@dataclass(frozen=True, slots=True)
class CompletionHead:
    """The fields that every object of one answer repeats. ``created`` is Unix time in seconds."""

    id: str
    created: int
    model: str

    def frame(self, choices: list[CompletionChoice]) -> TextCompletion:
        """Return a text completion object with these choices."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def text_completion(
    head: CompletionHead,
    answers: Sequence[Answer],
    usage: Usage,
    *,
    logprobs: bool,
    echoes: Sequence[str] | None = None,
) -> TextCompletion:
    """Return the object of the answers to all prompts, in order.

    ``echoes``: the text in front of each, where requested. Example: ``text_completion(CompletionHead("cmpl-1", 0,
    "qwen"), [answer], usage, logprobs=False)``.
    """
    fronts = echoes or [""] * len(answers)
    choices: list[CompletionChoice] = [
        {
            "index": index,
            "text": front + answer.text,
            "logprobs": LogprobsWriter().write(answer.logprobs) if logprobs else None,
            "finish_reason": _reason(answer.reason),
        }
        for index, (answer, front) in enumerate(zip(answers, fronts, strict=True))
    ]
    return {**head.frame(choices), "usage": usage_body(usage)}


class LogprobsWriter:
    """Writes the tokens of one choice, in pieces, with their offsets counted from its beginning."""

    def __init__(self) -> None:
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, tokens: Sequence[TokenLogprob]) -> CompletionLogprobs:
        """Write some tokens. One that begins within a character has that character's offset."""
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(self._decoder.decode(token.chosen.text))
        return {
            "tokens": [token_text(t.chosen.text) for t in tokens],
            "token_logprobs": [max(t.chosen.logprob, LEAST_LOGPROB) for t in tokens],
            "top_logprobs": [_top(t) for t in tokens] if any(t.top for t in tokens) else None,
            "text_offset": offsets,
        }


def token_text(text: bytes) -> str:
    """Return a token's text; OpenAI writes one that is not whole characters as ``bytes:\\xe2\\x80``."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in text)


def _top(token: TokenLogprob) -> dict[str, float]:
    """Return the likeliest tokens and the chosen one. Of tokens with one text, the likelier counts."""
    top: dict[str, float] = {}
    alternatives: tuple[Likelihood, ...] = (*token.top, token.chosen)
    for alternative in alternatives:
        top.setdefault(token_text(alternative.text), max(alternative.logprob, LEAST_LOGPROB))
    return top


class CompletionStream:
    """Encodes the chunks of one stream; a :class:`~kvproxy.server.answers.local_answer.StreamEncoder`.

    Several prompts are streamed one after another: ``next_prompt`` between them, ``end`` after the last.
    """

    def __init__(
        self,
        head: CompletionHead,
        *,
        n: int,
        include_usage: bool,
        logprobs: bool,
        echoes: Sequence[str] | None = None,
    ) -> None:
        """Create an encoder. ``echoes``: for each prompt the text in front of its choices."""
        self._head = head
        self._n = n
        self._include_usage = include_usage
        self._logprobs = logprobs
        self._echoes = echoes
        self._prompt = 0
        self._writers = [LogprobsWriter() for _ in range(n)]

    def next_prompt(self) -> None:
        """Begin the next prompt: its choices' indexes follow, and their text offsets start at 0."""
        self._prompt += 1
        self._writers = [LogprobsWriter() for _ in range(self._n)]

    def begin(self, started: Started, *, prompt_tokens: int, choices: int) -> bytes:
        """Encode the echoes, where there are any. Example: ``stream.begin(started, prompt_tokens=512, choices=2)``."""
        if self._echoes is None:
            return b""
        return b"".join(self._chunk(i, self._echoes[self._prompt]) for i in range(choices))

    def event(self, index: int, event: Event) -> bytes:
        match event:
            case TextDelta():
                logprobs = self._writers[index].write(event.logprobs) if self._logprobs else None
                return self._chunk(index, event.text, logprobs=logprobs)
            case Finished():
                return self._chunk(index, "", reason=event.reason)
        return b""

    def end(self, usage: Usage) -> bytes:
        if not self._include_usage:
            return event_bytes.DONE
        return event_bytes.event({**self._head.frame([]), "usage": usage_body(usage)}) + event_bytes.DONE

    def error(self, error: KVProxyError) -> bytes:
        return event_bytes.event(error.body())

    def pulse(self) -> bytes:
        return event_bytes.KEEPALIVE

    def _chunk(
        self,
        index: int,
        text: str,
        *,
        logprobs: CompletionLogprobs | None = None,
        reason: FinishReason | None = None,
    ) -> bytes:
        choice: CompletionChoice = {
            "index": self._prompt * self._n + index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": None if reason is None else _reason(reason),
        }
        chunk = self._head.frame([choice])
        if self._include_usage:
            chunk["usage"] = None
        return event_bytes.event(chunk)


def sum_usages(usages: Sequence[Usage]) -> Usage:
    """Return the usage of several prompts, each of which counts."""
    return replace(
        usages[0],
        prompt_tokens=sum(u.prompt_tokens for u in usages),
        completion_tokens=sum(u.completion_tokens for u in usages),
        cached_tokens=sum(u.cached_tokens for u in usages),
        cache_write_tokens=sum(u.cache_write_tokens for u in usages),
        reasoning_tokens=sum(u.reasoning_tokens for u in usages),
    )


def _reason(reason: FinishReason) -> Literal["stop", "length", "content_filter"]:
    """Return the finish reason. There are no tool calls here; a fallback that made one has stopped."""
    return "stop" if reason == "tool_calls" else reason
