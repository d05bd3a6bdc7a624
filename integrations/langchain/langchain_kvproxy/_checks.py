"""Checks for causes of a lost prefix: each looks at one property of the prompt and yields findings. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_kvproxy._document_recognition import DocumentReport, common
from langchain_kvproxy._finding import Finding, Level, count, quoted
from langchain_kvproxy._prompt_parts import PromptPart
from langchain_kvproxy._volatile import Volatile, volatile

HEAD = 500
"""Characters at the start of a document that are searched for timestamps, ids and the like."""

Tools = Sequence[Mapping[str, Any]]


def position(
    found: Sequence[PromptPart], documents: Sequence[PromptPart], *, tools: bool
) -> Iterator[Finding]:
    """Check that the documents stand together at the head of the system message.

    Example:
        `list(position(parts, document_pieces(parts), tools=False))` is empty for the layout of `place_documents`.
    """
    if not documents:
        yield Finding(
            "note",
            "no-documents",
            None,
            "no document was found in the prompt",
            "put documents in parts of their own, at the head of the system message (place_documents does)",
        )
        return
    first = documents[0]
    before = [piece for piece in found if piece.place < first.place]
    earlier = sorted({piece.message for piece in before if piece.message < first.message})
    if earlier:
        what = f"{count(len(earlier), 'message')} before the first document: it is found again only behind "
        yield Finding(
            "warning",
            "messages-first",
            first.message,
            what + "the very same messages",
            "put the documents at the head of the system message, which comes first",
        )
    inside = sum(len(piece.text or "") for piece in before if piece.message == first.message)
    if inside:
        what = f"{inside:,} characters of {first.role} text stand before the first document"
        yield Finding(
            "warning",
            "text-first",
            first.message,
            what + ": a change in them loses all documents",
            "put the documents first, the instructions behind them",
        )
    if first.role != "system":
        level: Level = "warning" if tools else "note"
        yield Finding(
            level,
            "not-at-head",
            first.message,
            f"the documents stand in a {first.role} message, behind the system prompt and the tools",
            "put them at the head of the system message, where agents with other tools share them",
        )
    yield from _scattered(found, documents)


def moving_parts(
    found: Sequence[PromptPart], documents: Sequence[PromptPart], reports: Sequence[DocumentReport]
) -> Iterator[Finding]:
    """Find texts that change with every prompt, before or between documents, or in a document's first lines.

    A published text is the same in every prompt, whatever dates are in it.

    Example:
        `list(moving_parts(parts, documents, reports))` names the timestamp in "It is 2026-11-22 09:30".
    """
    last = documents[-1].place if documents else (0, 0)
    question = max((piece.message for piece in found if piece.role == "user"), default=1)
    places = {piece.place for piece in documents}
    fixed = {report.place for report in reports if report.status in ("current", "older", "whitespace")}
    inside = {report.place: report.offset for report in reports if report.offset}
    for piece in found:
        if piece.place > last or piece.text is None or piece.place in fixed:
            continue
        if piece.place in inside:
            yield from (
                _before(place, piece) for place in volatile(piece.text.strip()[: inside[piece.place]])
            )
        elif piece.place in places:
            yield from (_in_document(place, piece) for place in volatile(piece.text[:HEAD])[:3])
        elif documents:
            yield from (_before(place, piece) for place in volatile(piece.text))
        elif piece.message < question:
            yield from (_opening(place, piece) for place in volatile(piece.text[:HEAD]))


def publication(reports: Sequence[DocumentReport], documents: Sequence[PromptPart]) -> Iterator[Finding]:
    """Yield the documents that are unknown, outdated, changed or not in memory, by the proxy's answer."""
    places = {piece.place for piece in documents}
    for report in reports:
        if report.place in places:
            yield from _about(report)


def tools_changed(tools: Tools, before: Tools, documents: Sequence[PromptPart]) -> Iterator[Finding]:
    """Compare the tools with those of an earlier prompt.

    Example:
        `list(tools_changed([ask, days], [days, ask], documents))` is one finding, `tools-order`.
    """
    now, then = {_name(tool): tool for tool in tools}, {_name(tool): tool for tool in before}
    behind = bool(documents) and all(piece.role == "system" for piece in documents)
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        stay = "; the documents at the head stay" if behind else ", and the documents behind it"
        yield Finding(
            "note" if behind else "warning",
            "tools-changed",
            None,
            f"other tools than before ({', '.join(changed)}): their block is computed again{stay}",
            "send the same tools in every prompt of a loop, and decide with tool_choice",
        )
    elif [*now] != [*then]:
        yield Finding(
            "warning",
            "tools-order",
            None,
            f"the same tools in another order than before: {', '.join(now)}; was {', '.join(then)}",
            "keep one order: kvproxy's own model is shown them in one order, but other models are not",
        )
    elif json.dumps(list(tools)) != json.dumps(list(before)):
        yield Finding(
            "note",
            "tools-shape",
            None,
            "the same tools with their JSON keys in another order than before",
            "build them in one way: kvproxy's own model is shown them in one shape, but other models are not",
        )


def diverged(
    found: Sequence[PromptPart], before: Sequence[PromptPart], documents: Sequence[PromptPart]
) -> Iterator[Finding]:
    """Report the first difference from an earlier prompt, unless it stands behind the documents.

    Example:
        `list(diverged(parts, earlier_parts, documents))` is empty where both start with the same documents.
    """
    last = documents[-1].place if documents else (-1, -1)
    pairs = zip(found, before, strict=False)
    index = next((i for i, (a, b) in enumerate(pairs) if _said(a) != _said(b)), min(len(found), len(before)))
    if index == len(found) or found[index].place > last:
        return
    now, then = found[index], before[index] if index < len(before) else None
    same = {_said(piece) for piece in documents}
    names = "the same documents in another order" if then and _said(then) in same else "the prompt differs"
    code = "documents-order" if then and _said(then) in same else "diverged"
    yield Finding(
        "warning",
        code,
        now.message,
        f"{names} from the one before at part {now.part}: {_versus(now, then)}",
        "keep the parts of a prompt in one order (place_documents does), what varies behind them",
    )


def _scattered(found: Sequence[PromptPart], documents: Sequence[PromptPart]) -> Iterator[Finding]:
    places = {piece.place for piece in documents}
    first, last = documents[0].place, documents[-1].place
    between = [piece for piece in found if first < piece.place < last and piece.place not in places]
    if between:
        yield Finding(
            "warning",
            "text-between",
            between[0].message,
            f"{count(len(between), 'part')} between documents: a change there loses those behind",
            "put the documents together, before everything else",
        )


def _before(place: Volatile, piece: PromptPart) -> Finding:
    return Finding(
        "warning",
        place.kind,
        piece.message,
        f"a {place.kind}, {quoted(place.text)}, before a document",
        "put it behind the documents, best into the last user message",
    )


def _opening(place: Volatile, piece: PromptPart) -> Finding:
    return Finding(
        "warning",
        place.kind,
        piece.message,
        f"a {place.kind}, {quoted(place.text)}, near the start of the prompt: nothing behind it is found again when "
        "it changes",
        "put it into the last user message",
    )


def _in_document(place: Volatile, piece: PromptPart) -> Finding:
    sure = place.kind in ("timestamp", "uuid")
    return Finding(
        "warning" if sure else "note",
        place.kind,
        piece.message,
        f"a {place.kind}, {quoted(place.text)}, in the first lines of a document that is not published",
        "if it is written anew for each prompt, leave it out, or put it behind the documents",
    )


def _about(report: DocumentReport) -> Iterator[Finding]:
    at, name = report.message, report.document
    if report.status == "unknown" and report.by == "reference":
        other = f"; {report.current} is published" if report.current else ""
        yield Finding(
            "error",
            "unknown-document",
            at,
            f"the proxy has no {name} that this key may read{other}",
            "publish it, or send its text",
        )
    elif report.status == "unknown":
        what = f"a text of {report.characters:,} characters is not published"
        yield Finding(
            "note",
            "unpublished",
            at,
            f"{what}: it is cached for this API key alone, once it was sent",
            "publish it to have it ready for every API key",
        )
    elif report.status == "older":
        yield Finding(
            "warning",
            "older-version",
            at,
            f"{name} is not the current version: that is {report.current}",
            "send the current one, unless this one is meant",
        )
    elif report.status == "inside":
        yield Finding(
            "warning",
            "text-first",
            at,
            f"{report.offset:,} characters of the same part stand before {name}: it is not found there",
            "put the document first, into a part of its own (place_documents does)",
        )
    elif report.status in ("whitespace", "changed"):
        yield _unlike(report)
    elif report.resident == 0:
        yield Finding(
            "note",
            "not-resident",
            at,
            f"the proxy keeps no tokens of {name} now",
            "its next reader waits for it once; give the proxy more memory or disk if this comes back",
        )


def _unlike(report: DocumentReport) -> Finding:
    character, now, then = report.differs or (0, "", "")
    only = f"only in {report.cause}" if report.status == "whitespace" else "in its text"
    found = (
        ""
        if report.found is None
        else f"; {report.found:,} of its {report.tokens or 0:,} tokens are found again"
    )
    return Finding(
        "warning",
        report.status,
        report.message,
        f"a document differs from {report.document} {only}, first at character {character:,}: "
        f"{quoted(now)} for {quoted(then)}{found}",
        "send its reference, or the text as it was published; or publish the text as it is sent",
    )


def _versus(now: PromptPart, then: PromptPart | None) -> str:
    if then is None:
        return f"{quoted(_said(now))}, where the earlier one ended"
    one, other = _said(now), _said(then)
    at = common(one, other)
    return f"{quoted(one[max(0, at - 12) : at + 24])} for {quoted(other[max(0, at - 12) : at + 24])}"


def _said(piece: PromptPart) -> str:
    return f"document {piece.reference}" if piece.reference is not None else piece.text or ""


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    return str(
        function.get("name") if isinstance(function, Mapping) else tool.get("name") or tool.get("type")
    )
