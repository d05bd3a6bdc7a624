"""`grammar_specials`: the added tokens that a grammar names as tokens. Without torch: fleets ask for it, too."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from llguidance import LLTokenizer

from kvproxy.errors import InvalidRequest


def load_tables(source: str, eos_ids: Collection[int], vocab_size: int) -> LLTokenizer:
    """Return the library's form of a tokenizer, from the text of ``tokenizer.json``. Raises InvalidRequest.

    Example: ``load_tables(source, {2}, 49_152)``
    """
    try:
        if not eos_ids:
            raise ValueError("it has no end token")
        return LLTokenizer(source, n_vocab=vocab_size, eos_token=sorted(eos_ids))
    except ValueError as e:
        raise InvalidRequest(
            f"This model cannot be held to a schema or made to call a tool: its tokenizer does not fit ({e})."
        ) from e


def special_in(source: str, tables: LLTokenizer) -> frozenset[str]:
    """Return the texts of the added tokens that a grammar must name as tokens; it would not find them by their text."""
    added = json.loads(source).get("added_tokens", ())
    return frozenset(token["content"] for token in added if tables.is_special_token(token["id"]))


def grammar_specials(folder: Path, eos_ids: Collection[int], vocab_size: int) -> frozenset[str]:
    """Return :func:`special_in` of a model's folder. Takes as long as loading the tables: 0.2 to 2.5 s, on a thread.

    Example: ``grammar_specials(folder, tokenizer.eos_ids, tokenizer.size)``
    """
    source = (folder / "tokenizer.json").read_text(encoding="utf-8")
    return special_in(source, load_tables(source, eos_ids, vocab_size))
