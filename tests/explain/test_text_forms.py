"""Texts that differ in white space or in the form of equal characters alone."""

from __future__ import annotations

from kvproxy.core import MissCause
from kvproxy.explain.text_forms import form_cause, without_space

REST = "Be kind, and be brief in all your answers."


def test_forms_of_the_same_text() -> None:
    assert form_cause(f"\r\n{REST}", f"\n{REST}") is MissCause.WHITESPACE
    assert form_cause(f"\u201c{REST}", f'"{REST}') is MissCause.UNICODE_FORM
    assert form_cause(f"a {REST}", f"b {REST}") is None
    assert form_cause("\nBe", " Be") is None, "too little to tell"
    assert form_cause("\nBe", " Be", whole=True) is MissCause.WHITESPACE


def test_invisible_characters_are_white_space() -> None:
    assert without_space("a\u200b b\ufeff\u00a0c\r\n") == "abc"
