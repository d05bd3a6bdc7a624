"""Prompts: the exact token ids of a request, the documents in them, and the constraint on the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from kvproxy.core.answer_format import AnswerFormat
from kvproxy.core.known_prefix import KnownPrefix
from kvproxy.core.requests import DocumentRef, LeftOut, Tool, ToolChoice

Reasoning = Literal["none", "may", "open"]
"""The state in which an answer begins: the model does not think, may open a think block, or is inside of one."""

HERMES = "hermes"
"""The tool call format of most model families: ``<tool_call>`` around a JSON object. Names of other formats are
keys of the registry in ``wire/tool_formats/known_formats.py``."""


@dataclass(frozen=True, slots=True)
class Span:
    """A known document inside a prompt: its tokens are ``token_ids[start:end]``.

    ``end`` is the last position whose token belongs to the document alone, for any text that follows.
    """

    document: DocumentRef
    start: int
    end: int
    scope: str | None = None
    """The document's own scope when ``token_ids[:end]`` is one of its published framings, so that a prefill
    restores the published pages; None under any other preamble (the caller's scope then)."""
    quarantined: bool = False
    """Its kept pages are not trusted: the prompt is computed from scratch."""
    etag: str = ""
    """sha256 of the version's text, hex."""
    publisher: str = ""
    """The publisher's tenant; empty where its scope belongs to no tenant that is known now."""
    grant: str | None = None
    """Id of the grant that let the reader in; None where none was needed."""
    by_reference: bool = False
    """True when the request named the document and did not send its text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The exact token ids that the model will see, and the documents found in them."""

    token_ids: tuple[int, ...]
    documents: tuple[Span, ...] = ()
    marks: tuple[int, ...] = ()
    """Ends of the prefixes that the client marked as reusable, in positions, ascending."""
    reasoning: Reasoning = "none"
    tool_format: str = HERMES
    confined: bool = False
    """True when the caller was let into a granted document by reference and has not got its text: no text or token of
    this prompt may be shown to the caller, or sent to another provider."""
    known: KnownPrefix | None = field(default=None, compare=False)
    """The longest published prefix that it begins with."""
    moved: tuple[DocumentRef, ...] = ()
    """Documents that were moved to the front, since the client asked for it."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """The required form of an answer. The engine turns it into a grammar that masks its sampling.

    Forced calls (``choice.mode == "required"``), strict tools and ``format`` are enforced; where none of them applies
    there is no constraint.
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
    """A constraint as the text of a grammar, with the requested parts that it does not enforce."""

    text: str
    left_out: tuple[LeftOut, ...] = ()
