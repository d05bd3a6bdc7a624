"""`FakeGeneration`: the answer to a prompt, the same at every fake replica, cut as sampling parameters ask."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from kvproxy.fake_replica.replica_text import ReplicaText


@dataclass(frozen=True, slots=True)
class AnswerCuts:
    """The sampling parameters that a fake answer follows."""

    max_tokens: int
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    include_stop: bool = False
    ignore_eos: bool = False
    skip_special: bool = True


@dataclass(frozen=True, slots=True)
class AnswerStep:
    """One token of an answer, and the text that it completes."""

    token: int
    text: str


@dataclass(frozen=True, slots=True)
class FakeGeneration:
    """A whole answer, known before its first token leaves."""

    steps: tuple[AnswerStep, ...]
    finish_reason: str
    stop_reason: int | str | None = None

    @property
    def token_ids(self) -> list[int]:
        """All tokens, the end token included."""
        return [step.token for step in self.steps]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(step.text for step in self.steps)


def words_after(prompt: Sequence[int], choice: int) -> Iterator[str]:
    """Words that depend on every token of ``prompt`` and on the choice's index; endless."""
    seed = hashlib.sha256(array("q", (*prompt, choice)).tobytes()).digest()
    for block in count():
        digest = hashlib.sha256(seed + block.to_bytes(4, "big")).hexdigest()
        yield from (digest[i : i + 4] + " " for i in range(0, 48, 4))


def answer_after(
    prompt: Sequence[int],
    limits: AnswerCuts,
    text: ReplicaText,
    *,
    choice: int = 0,
    words: int = 12,
    said: Sequence[int] | None = None,
) -> FakeGeneration:
    """Return the answer to ``prompt``: the tokens ``said`` where given, else words made of the prompt's hash.

    Example: ``answer_after([1, 2, 3], AnswerCuts(max_tokens=8), BytesText())``
    """
    if said is not None:
        tokens = list(said)
    else:
        tokens = text.encode("".join(islice(words_after(prompt, choice), words)), special=False)
    endless = limits.ignore_eos or text.end_token is None
    if endless or limits.min_tokens > len(tokens):
        wanted = limits.max_tokens if endless else limits.min_tokens
        more = words_after((*prompt, -1), choice)
        while len(tokens) < min(wanted, limits.max_tokens):
            tokens += text.encode(next(more), special=False)
    return _cut(tokens, limits, text)


def _cut(tokens: list[int], limits: AnswerCuts, text: ReplicaText) -> FakeGeneration:
    """Cut ``tokens`` where the limits end them, and lay the text on the tokens as vLLM's stream does."""
    told = tokens[: limits.max_tokens]
    pieces = list(_pieces(told, text, skip_special=limits.skip_special))
    reason: str = "length"
    stop_reason: int | str | None = None
    said = ""
    for number, token in enumerate(told):
        if number >= limits.min_tokens and token in limits.stop_token_ids:
            pieces, told = [*pieces[:number], ""], told[: number + 1]
            reason, stop_reason = "stop", token
            break
        before, said = len(said), said + pieces[number]
        if number >= limits.min_tokens and (found := _first_stop(said, before, limits)):
            end, stop_reason = found
            said, told, reason = said[:end], told[: number + 1], "stop"
            break
    else:
        if len(tokens) < limits.max_tokens and text.end_token is not None and not limits.ignore_eos:
            told, pieces, reason = [*told, text.end_token], [*pieces, ""], "stop"
    if reason == "stop" and isinstance(stop_reason, int):
        said = "".join(pieces)
    return FakeGeneration(tuple(_laid(told, pieces, said, limits)), reason, stop_reason)


def _pieces(tokens: Sequence[int], text: ReplicaText, *, skip_special: bool) -> Iterator[str]:
    """Yield the text that each token completes; empty for one that ends inside of a character."""
    start = read = 0
    for end in range(1, len(tokens) + 1):
        old = text.decode(tokens[start:read], skip_special=skip_special)
        new = text.decode(tokens[start:end], skip_special=skip_special)
        if new.endswith("\ufffd") and end < len(tokens):
            yield ""
            continue
        yield new[len(old) :]
        start, read = read, end


def _laid(
    tokens: Sequence[int], pieces: Sequence[str], said: str, limits: AnswerCuts
) -> Iterator[AnswerStep]:
    """Hold back as many characters as a stop text could still claim, until the last token."""
    held = max((len(stop) - 1 for stop in limits.stop), default=0) if not limits.include_stop else 0
    known = shown = 0
    for number, token in enumerate(tokens):
        known += len(pieces[number])
        ready = len(said) if number + 1 == len(tokens) else min(len(said), max(shown, known - held))
        yield AnswerStep(token, said[shown:ready])
        shown = ready


def _first_stop(said: str, before: int, limits: AnswerCuts) -> tuple[int, str] | None:
    """Find the first of the stop texts that ends in what came after ``before``."""
    for stop in limits.stop:
        at = said.find(stop, max(0, before - len(stop) + 1))
        if at >= 0:
            return (at + len(stop) if limits.include_stop else at), stop
    return None
