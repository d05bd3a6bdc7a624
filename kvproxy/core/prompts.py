"""Prompts: the exact token ids of a request, the documents in them, and the constraint on the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kvproxy.core.answer_format import AnswerFormat
from kvproxy.core.requests import DocumentRef, LeftOut, Tool, ToolChoice

Reasoning = Literal["none", "may", "open"]
"""Where an answer stands when it begins: the model does not think, may open a think block, or is in one."""

HERMES = "hermes"
"""How most model families write a tool call: ``<tool_call>`` around a JSON object. Names of other ways are keys of
the registry in ``wire/tool_formats/known_formats.py``."""


@dataclass(frozen=True, slots=True)
class Span:
    """A known document inside a prompt: its tokens are ``token_ids[start:end]``.

    ``end`` is the last position whose token belongs to the document alone, whatever text follows.
    """

    document: DocumentRef
    start: int
    end: int
    scope: str | None = None
    """The document's own scope when ``token_ids[:end]`` is one of its published framings, so that whoever
    prefills it restores the published pages; None under any other preamble (the caller's scope then)."""
    quarantined: bool = False
    """Its kept pages are not trusted: the prompt is computed from scratch."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The exact token ids that the model will see, and the documents found in them."""

    token_ids: tuple[int, ...]
    documents: tuple[Span, ...] = ()
    marks: tuple[int, ...] = ()
    """Ends of the prefixes that the client marked as reusable, in positions, ascending."""
    reasoning: Reasoning = "none"
    tool_format: str = HERMES


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the answer has to look like. The engine turns it into a grammar that masks its sampling.

    Forced calls (``choice.mode == "required"``), strict tools and ``format`` are enforced; where none of them
    applies there is no constraint.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    parallel: bool = True
    """Whether one answer may hold several calls."""
    format: AnswerFormat | None = None
    reasoning: Reasoning = "none"
    tool_format: str = HERMES


@dataclass(frozen=True, slots=True)
class GrammarText:
    """A constraint as the text of a grammar, and what it does not enforce though a client asked for it."""

    text: str
    left_out: tuple[LeftOut, ...] = ()
