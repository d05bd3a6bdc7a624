"""Formats that a request demands of the whole answer: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Syntax = Literal["gbnf", "lark"]
"""The syntax that a grammar is written in: llama.cpp's (also called EBNF), or llguidance's."""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """The answer must be JSON: any object when ``schema`` is None."""

    schema: Mapping[str, Any] | None = None
    strict: bool = True
    """True: a schema that cannot be enforced in full is refused; else the rest is left out, and the answer says so."""
    param: str = field(default="response_format", compare=False)
    """The client's field, for error messages."""


@dataclass(frozen=True, slots=True)
class RegexFormat:
    """The whole answer must match ``pattern``."""

    pattern: str
    param: str = field(default="response_format", compare=False)


@dataclass(frozen=True, slots=True)
class ChoiceFormat:
    """The answer must be one of these texts."""

    choices: tuple[str, ...]
    param: str = field(default="response_format", compare=False)


@dataclass(frozen=True, slots=True)
class GrammarFormat:
    """The whole answer must follow a client's own grammar."""

    text: str
    syntax: Syntax
    param: str = field(default="response_format", compare=False)


@dataclass(frozen=True, slots=True)
class TaggedJson:
    """One structure: ``begin``, then JSON under ``schema``, then ``end``."""

    begin: str
    schema: Mapping[str, Any]
    end: str


@dataclass(frozen=True, slots=True)
class TagsFormat:
    """Free text, in which each text that begins with a trigger is one of the structures."""

    structures: tuple[TaggedJson, ...]
    triggers: tuple[str, ...]
    param: str = field(default="response_format", compare=False)


AnswerFormat = JsonFormat | RegexFormat | ChoiceFormat | GrammarFormat | TagsFormat
