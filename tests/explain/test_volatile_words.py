"""Volatile words at one place of a text, and nothing beside it."""

from __future__ import annotations

from kvproxy.core import MissCause
from kvproxy.explain.volatile_words import number_at, volatile_at


def test_a_word_is_found_at_its_place_alone() -> None:
    text = "x" * 500 + " It is 2026-11-30 09:31:12Z. " + "y" * 500
    at = text.index("30 09")
    (word,) = volatile_at(text, at)
    assert (word.cause, text[word.start : word.end]) == (MissCause.TIMESTAMP, "2026-11-30 09:31:12Z")
    assert volatile_at(text, 100) == [] and volatile_at(text, len(text) - 100) == []


def test_a_clients_header_counts_to_its_end() -> None:
    line = "x-vendor-billing-header: " + "v=1; " * 100 + "cch=abc"
    assert volatile_at(f"{line}\nBe kind.", len(line) - 1)[0].cause is MissCause.UUID
    assert volatile_at(f"{line}\nBe kind.", len(line) + 4) == []


def test_numbers() -> None:
    assert number_at("Turn 10 of", 6) == (5, 7) and number_at("Turn ten", 6) is None
