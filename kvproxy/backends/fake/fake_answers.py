"""Answers of the fake model: a function of the prompt, or the smallest text that fits the format."""

from __future__ import annotations

import hashlib
import json
import re
from array import array

from kvproxy.backends.base import Comparison, Generation
from kvproxy.backends.fake.fake_prefixes import pages_of
from kvproxy.backends.fake.json_examples import example_of
from kvproxy.core import Constraint, LeftOut, ToolCall
from kvproxy.core.answer_format import ChoiceFormat, GrammarFormat, JsonFormat, RegexFormat
from kvproxy.core.session_hints import Retained
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


def comparison(cached: int, pages: int, positions: int, answered: int, difference: float) -> Comparison:
    """Return the comparison of a hit of ``cached`` tokens with a prefill, all equal unless ``difference`` is not 0.

    Example: ``comparison(512, 2, 600, 24, 0.0).exact``
    """
    wrong = difference != 0.0
    return Comparison(
        cached_tokens=cached,
        pages=pages,
        equal_pages=0 if wrong else pages,
        positions=positions,
        equal_positions=0 if wrong else positions,
        equal_argmax=0 if wrong else positions,
        largest_difference=difference,
        greedy_tokens=answered,
        equal_greedy=0 if wrong else answered,
        first_difference=0 if wrong else None,
    )


def retained(generation: Generation) -> Retained | None:
    """Hold every page of the prompt, as an engine with room does."""
    hint = generation.hint
    if hint is None:
        return None
    pages = len(pages_of(generation.prompt.token_ids)) if hint.seconds else 0
    return Retained(hint.seconds, pages, pages)


def drafted(predicted: tuple[int, ...] | None, new: int) -> tuple[int, int] | None:
    """Count the accepted and the rejected tokens of a prediction, with ``new`` tokens of an answer.

    Example: ``drafted(generation.predicted, 12)``
    """
    if predicted is None:
        return None
    return min(len(predicted), new), max(0, len(predicted) - new)


def kept_until(generation: Generation) -> int:
    """Return the end of the positions of a prompt that are kept for its caller."""
    if generation.fresh:
        return 0
    until = generation.keep_until
    return len(generation.prompt.token_ids) if until is None else until
