"""Answers of the fake model: a function of the prompt, or the smallest text that fits the format."""

from __future__ import annotations

import hashlib
import json
import re
from array import array

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.json_examples import example_of
from kvproxy.core import Constraint, LeftOut, ToolCall
from kvproxy.core.answer_format import ChoiceFormat, GrammarFormat, JsonFormat, RegexFormat
from kvproxy.errors import UnsupportedParameter
from kvproxy.events import FinishReason, Likelihood, TokenLogprob
from kvproxy.wire.answer_formats.answer_grammar import grammar_of
from kvproxy.wire.tool_formats.known_formats import FORMATS

ANSWER_WORDS = 12
"""Length of every answer that ``max_tokens`` and ``stop`` do not cut."""


def answer_to(token_ids: tuple[int, ...]) -> list[str]:
    """Return the words that the fake model says after a prompt; one word is one completion token."""
    digest = hashlib.sha256(array("Q", (token % 2**64 for token in token_ids)).tobytes()).hexdigest()
    return [digest[4 * i : 4 * i + 4] + " " for i in range(ANSWER_WORDS)]


def constrained_answer(constraint: Constraint) -> str | None:
    """Return the smallest raw text that a constraint asks for; None where plain text does. Raises
    UnsupportedParameter for a regex or a grammar."""
    thought = "\n</think>\n\n" if constraint.reasoning == "open" else ""
    if constraint.choice.mode == "required" and constraint.tools:
        tool = constraint.tools[0]
        arguments = example_of(tool.parameters) if tool.parameters else {}
        call = ToolCall("", tool.name, json.dumps(arguments, ensure_ascii=False))
        return thought + FORMATS[constraint.tool_format].write([call])
    match constraint.format:
        case JsonFormat(schema):
            return thought + json.dumps(example_of(schema or {}), ensure_ascii=False)
        case ChoiceFormat(choices):
            return thought + choices[0]
        case RegexFormat() | GrammarFormat() as wanted:
            raise UnsupportedParameter(
                f"Unsupported parameter: '{wanted.param}': the fake model has no way to follow it.",
                param=wanted.param,
            )
    return None


def not_enforced(constraint: Constraint | None, *, answered: bool) -> tuple[LeftOut, ...]:
    """Return the Started event as the engine emits it, as far as that works without the grammar library. ``answered``:
    the answer is given already. Raises the engine's errors, and UnsupportedParameter as ``constrained_answer`` does."""
    if constraint is None:
        return ()
    left_out = grammar_of(constraint).left_out
    if not answered:
        constrained_answer(constraint)
    return left_out


def words_of(text: str) -> list[str]:
    """Split text into the fake model's tokens: a word with the white space behind it is one."""
    return re.findall(r"\S+\s*|\s+", text)


def cut(words: list[str], generation: Generation) -> tuple[list[str], FinishReason]:
    """Cut ``words`` as ``stop`` and ``max_tokens`` demand."""
    sampling = generation.sampling
    reason: FinishReason = "stop"
    if sampling.max_tokens is not None and sampling.max_tokens < len(words):
        words, reason = words[: sampling.max_tokens], "length"
    text = "".join(words)
    ends = [text.index(s) for s in sampling.stop if s in text]
    if not ends:
        return words, reason
    kept: list[str] = []
    room = min(ends)
    for word in words:
        if room > 0:
            kept.append(word[:room])
            room -= len(word)
    return kept, "stop"


def logprobs_of(word: str, alternatives: int | None) -> tuple[TokenLogprob, ...]:
    """Made-up numbers that are a function of the word: the chosen one is the likeliest."""
    if alternatives is None:
        return ()
    digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
    best = -(digest[0] + 1) / 512
    spelled = word.encode("utf-8", "surrogatepass")
    chosen = Likelihood(int.from_bytes(digest[1:3]), spelled, best)
    others = (Likelihood(rank, b"other%d" % rank, best - rank) for rank in range(1, alternatives))
    return (TokenLogprob(chosen, (chosen, *others)[:alternatives]),)
