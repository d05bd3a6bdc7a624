"""Random walks through a grammar: any token that the mask allows, until the answer is over."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch

from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.decode.constraint import TokenConstraint
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.wire.answer_formats.answer_grammar import grammar_of

CLOSERS = '"', "}", "]", "}}", '"}', "null", "]}", "[]", "{}", "</", "\n", ">", "@"
"""Tokens that bring an answer to its end, when they are allowed."""


class Walker:
    """A model's vocabulary and its grammars, without its weights."""

    def __init__(
        self, folder: Path, eos_ids: frozenset[int] | None = None, vocab_size: int | None = None
    ) -> None:
        """By default the vocabulary is wider than the tokenizer, as Qwen3's logits are."""
        self.tokenizer = Tokenizer.load(folder)
        self.vocabulary = Vocabulary(folder)
        self.eos_ids = self.tokenizer.eos_ids if eos_ids is None else eos_ids
        spec = json.loads((folder / "tokenizer.json").read_bytes())
        ids = [*spec["model"]["vocab"].values(), *(token["id"] for token in spec["added_tokens"])]
        self.vocab_size = vocab_size or max(ids) + 28
        self.grammars = Grammars(folder, self.eos_ids, self.vocab_size, grammar_of)
        self._marks = {id: text for text, id in self.tokenizer.control.items()}
        texts = {text: self.tokenizer.encode_text(text) for text in CLOSERS}
        self._closers = {ids[0] for ids in texts.values() if len(ids) == 1}

    def encode(self, text: str) -> list[int]:
        """Token ids in which the model's own marks are single tokens."""
        ids: list[int] = []
        for piece in self.tokenizer.pieces(text):
            ids += [piece] if isinstance(piece, int) else self.tokenizer.encode_text(piece)
        return ids

    def text(self, ids: list[int]) -> str:
        """Marks as their text, end tokens as nothing."""
        out = b""
        for id in ids:
            if id not in self.eos_ids:
                mark = self._marks.get(id)
                out += self.vocabulary.token_bytes(id) if mark is None else mark.encode()
        return out.decode("utf-8")

    def allowed(self, state: TokenConstraint) -> list[int]:
        logits = np.zeros(self.vocab_size, dtype=np.float32)  # of numpy: no threads for so little work
        state.mask(torch.from_numpy(logits))
        found: list[int] = np.flatnonzero(np.isfinite(logits)).tolist()
        return found

    def walk(self, state: TokenConstraint, seed: int, *, free: int = 40, say: str = "") -> list[int]:
        """Token ids up to the end. Behind ``free`` tokens it says ``say``, as soon as it can, and hurries to the end.

        Raises AssertionError when nothing can follow, or 600 tokens do not bring it to an end.
        """
        choose, said = random.Random(seed), self.encode(say)
        ids: list[int] = []
        while not state.done:
            assert len(ids) < 600, self.text(ids)[:2000]
            allowed = self.allowed(state)
            assert allowed, f"nothing can follow {self.text(ids)!r}"
            if said and len(ids) >= free and state.valid(said) == len(said):
                for id in said:
                    state.accept(id)
                ids, said = ids + said, []
                continue
            if len(ids) >= free:
                ends = [id for id in allowed if id in self.eos_ids]
                allowed = ends or [id for id in allowed if id in self._closers] or allowed
            ids.append(choose.choice(allowed))
            state.accept(ids[-1])
        return ids
