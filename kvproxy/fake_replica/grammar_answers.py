"""`GrammarAnswers`: small answers that follow a grammar, found with the library of vLLM's guidance backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from kvproxy.fake_replica.vllm_errors import VllmError, bad_request

_MOST = 1024
"""Tokens of an answer; a grammar that none so short follows is refused."""
_WAYS = ("\n</think>\n\n", "</think>\n\n", '"', "}", "]", ",", "0", "a")
"""Texts that bring an answer nearer to its end, tried in this order wherever more than one thing may follow."""


class GrammarAnswers:
    """One tokenizer's tables. Making them takes a third of a second."""

    def __init__(self, source: str, end_tokens: frozenset[int], size: int) -> None:
        """Read the tokenizer. ``source``: tokenizer.json; ``size``: of the vocabulary.

        Example: ``GrammarAnswers(Path("tokenizer.json").read_text(), frozenset({2}), 49152)``
        """
        self._tokenizer = LLTokenizer(source, n_vocab=size, eos_token=sorted(end_tokens))
        self._size = size
        self._end_tokens = end_tokens
        self._ways = [self._tokenizer.tokenize_str(way) for way in _WAYS]

    @classmethod
    def load(cls, folder: Path, end_tokens: frozenset[int], size: int) -> GrammarAnswers:
        """Read the tokenizer of a model's folder.

        Example: ``GrammarAnswers.load(folder, tokenizer.eos_ids, tokenizer.size)``
        """
        return cls((folder / "tokenizer.json").read_text(encoding="utf-8"), end_tokens, size)

    def answer(self, wanted: Mapping[str, Any]) -> list[int]:
        """Return the tokens of an answer to ``structured_outputs``, without an end token. Raises VllmError."""
        matcher = LLMatcher(self._tokenizer, _grammar(wanted), log_level=0)
        tokens: list[int] = []
        while not matcher.is_error() and not matcher.is_accepting() and len(tokens) < _MOST:
            tokens += self._further(matcher)
        if matcher.is_error() or not matcher.is_accepting():
            why = matcher.get_error().split("\n")[0] or "no short answer follows it"
            raise VllmError(bad_request(f"Invalid grammar: {why[:300]}", "structured_outputs"))
        return tokens

    def _further(self, matcher: LLMatcher) -> list[int]:
        """Advance ``matcher`` by some tokens, and return them."""
        if (way := self._way(matcher)) is not None:
            matcher.consume_tokens(way)
            return way
        allowed = np.unpackbits(
            np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), count=self._size, bitorder="little"
        )
        # Blanks may go on for ever; so may letters, where no end is near, and the length ends those.
        can = [int(token) for token in np.flatnonzero(allowed) if int(token) not in self._end_tokens]
        best = min(can, key=lambda token: self._weight(token), default=None)
        if best is not None:
            matcher.consume_token(best)
            return [best]
        matcher.consume_token(min(self._end_tokens))
        return []

    def _way(self, matcher: LLMatcher) -> list[int] | None:
        """Return what is forced, else a way that ends the answer, else the first that may follow."""
        if forced := matcher.compute_ff_tokens():
            return list(forced)
        can = [way for way in self._ways if matcher.deep_copy().validate_tokens(way) == len(way)]
        return next((way for way in can if _ends(matcher, way)), next(iter(can), None))

    def _weight(self, token: int) -> tuple[bool, int, int]:
        text = self._tokenizer.decode_str([token])
        return not text.strip(), len(text), token


def _ends(matcher: LLMatcher, way: list[int]) -> bool:
    trial = matcher.deep_copy()
    return bool(trial.consume_tokens(way)) and bool(trial.is_accepting())


def _grammar(wanted: Mapping[str, Any]) -> str:
    if (grammar := wanted.get("grammar")) is not None:
        return str(grammar)
    if (schema := wanted.get("json")) is not None:
        return _schema_grammar(schema)
    if wanted.get("json_object"):
        return _schema_grammar({"type": "object"})
    if (pattern := wanted.get("regex")) is not None:
        return LLMatcher.grammar_from_regex(str(pattern))
    if choices := wanted.get("choice"):
        return LLMatcher.grammar_from_lark("start: " + " | ".join(json.dumps(str(one)) for one in choices))
    raise VllmError(bad_request("A fake replica follows no structural tags.", "structured_outputs"))


def _schema_grammar(schema: object) -> str:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    try:
        return LLMatcher.grammar_from_json_schema(text)
    except ValueError as e:
        raise VllmError(bad_request(f"Invalid JSON schema: {e}", "structured_outputs")) from e
