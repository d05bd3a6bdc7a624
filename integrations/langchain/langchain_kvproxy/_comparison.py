"""Pairs of prompts to tokenise: equal tokens show that a spelling makes no difference to the served model. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage

from langchain_kvproxy._document_recognition import DocumentReport
from langchain_kvproxy._volatile import client_metadata
from langchain_kvproxy.prompts import is_system

MOST = 4
"""Documents that are compared in one prompt."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A prompt, and a second one in which one part has another text."""

    place: tuple[int, int]
    sent: Messages
    other: Messages


def comparisons(messages: Sequence[BaseMessage], reports: Sequence[DocumentReport]) -> list[Comparison]:
    """Pair, for each document in another spelling, the prompt up to it and the same with the published text."""
    spelled = [report for report in reports if report.status == "whitespace" and report.as_published]
    made = (_with(messages, report.place, report.as_published or "") for report in spelled[:MOST])
    return [comparison for comparison in made if comparison is not None]


def without_metadata(messages: Sequence[BaseMessage]) -> list[Comparison]:
    """Pair, for each part that begins with a client's header, the prompt up to it and the same without the header."""
    found: list[Comparison] = []
    for i, message in enumerate(messages):
        for j, part in enumerate(_parts(message)):
            text = part.get("text")
            header = client_metadata(text) if isinstance(text, str) else None
            made = header and isinstance(text, str) and _with(messages, (i, j), text[len(header) :].lstrip())
            if made:
                found.append(made)
    return found[:MOST]


def judged(
    reports: Sequence[DocumentReport], found: Sequence[tuple[Comparison, Sequence[int], Sequence[int]]]
) -> list[DocumentReport]:
    """Update the reports by the tokens: equal ones are the published document, whatever the text looks like."""
    by_place = {comparison.place: _common(sent, other) for comparison, sent, other in found}
    return [_judged(report, by_place) for report in reports]


def _judged(report: DocumentReport, by_place: Mapping[tuple[int, int], int | None]) -> DocumentReport:
    if report.status != "whitespace" or report.place not in by_place:
        return report
    common = by_place[report.place]
    if common is None:
        same = report.document == report.current
        return replace(report, status="current" if same else "older", differs=None, cause=None)
    return replace(report, found=min(common, report.tokens or common))


def _common(sent: Sequence[int], other: Sequence[int]) -> int | None:
    """Count the tokens that both begin with; None where they are the same."""
    if list(sent) == list(other):
        return None
    pairs = zip(sent, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(sent), len(other)))


def _with(messages: Sequence[BaseMessage], place: tuple[int, int], text: str) -> Comparison | None:
    """Build the comparison for one part of a message.

    None behind an assistant's or tool's message, and beside parts that are no text: there the prompt's tokens depend
    on more than this text.
    """
    until = messages[: place[0] + 1]
    sent = [_message(message) for message in until]
    if any(message is None for message in sent):
        return None
    known = [message for message in sent if message is not None]
    last = known[-1]
    parts = list(last["content"])
    parts[place[1]] = {"type": "text", "text": text}
    end: Messages = [] if last["role"] == "user" else [{"role": "user", "content": "?"}]
    return Comparison(place, [*known, *end], [*known[:-1], {**last, "content": parts}, *end])


def _message(message: BaseMessage) -> dict[str, Any] | None:
    role = "system" if is_system(message) else {"human": "user"}.get(message.type)
    parts = _parts(message)
    plain = all(part.get("type") in ("text", "kv_document") for part in parts)
    return (
        {"role": role, "content": parts} if role and plain and not isinstance(message, ChatMessage) else None
    )


def _parts(message: BaseMessage) -> list[dict[str, Any]]:
    """Return a message's content as dicts, one for each part that `prompt_parts` numbers."""
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": part} if isinstance(part, str) else dict(part) for part in content]
