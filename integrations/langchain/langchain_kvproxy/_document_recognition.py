"""Recognises documents among a prompt's parts, and matches them with the proxy's: `DocumentReport`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_kvproxy._digest import text_digest
from langchain_kvproxy._prompt_parts import PromptPart
from langchain_kvproxy._spelling import cause, respelled, spelled, words

LONG = 1000
"""Characters of a text in a system or user message from which on it is taken for a document."""
ALIKE = 64
"""Characters that a changed document has in common with the published one, at least; a shorter text
is compared with published ones as a whole only."""
MOST_TEXTS = 32
"""The most published texts that are compared with one prompt."""

Status = Literal["current", "older", "inside", "whitespace", "changed", "unknown", "unchecked"]
Info = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """A document in a prompt, with its version, tokens and residency by the proxy's answer."""

    message: int
    part: int
    by: Literal["reference", "text"]
    status: Status
    """`current`; `older`: another version is current; `inside`: other text of its part stands before it, so
    that its pages are not found; `whitespace`: its words are published, in another spelling than this (line ends,
    white space, a byte order mark), so that they are not found either; `changed`: it starts
    like a published one; `unknown`; or `unchecked`: no proxy was asked."""
    document: str | None = None
    """The published version that it equals or is nearest to, like `handbook@3`."""
    current: str | None = None
    """The version that is current."""
    tokens: int | None = None
    resident: int | None = None
    """Tokens that the proxy keeps of it at the head of a system message; None where that is not known."""
    replicas: int = 0
    """Of a fleet: the number of replicas that hold some of it at the head of a system message."""
    characters: int = 0
    offset: int = 0
    """Characters of its part that stand before it."""
    differs: tuple[int, str, str] | None = None
    """The first difference of a changed text: the character, the text there, the published text there."""
    cause: str | None = None
    """Of a text in another spelling: the kind of difference, such as its line ends."""
    found: int | None = None
    """Of a text in another spelling: the number of its tokens that can be found again; None where not known."""
    as_published: str | None = field(default=None, repr=False, compare=False)
    """Of a text in another spelling: its part, with the published one."""

    @property
    def place(self) -> tuple[int, int]:
        """Return the indexes of the message and of the part in it."""
        return self.message, self.part

    def __str__(self) -> str:
        said = [f"message {self.message}, part {self.part}: {self.document or 'a text'}, by {self.by}"]
        if self.tokens is not None:
            said.append(f"{self.tokens:,} tokens")
        elif self.by == "text":
            said.append(f"{self.characters:,} characters")
        said.append(_MEANING[self.status].format(document=self.document, current=self.current))
        if self.resident is not None:
            said.append(
                f"{self.resident:,} tokens kept" + (f" at {self.replicas} replicas" if self.replicas else "")
            )
        return ", ".join(said)


_MEANING: Mapping[Status, str] = {
    "current": "published",
    "older": "published, but {current} is the current version",
    "inside": "published, but behind other text of its part",
    "whitespace": "published in another spelling",
    "changed": "not published with this text",
    "unknown": "not published",
    "unchecked": "no proxy was asked",
}


def common(one: str, other: str) -> int:
    """Count the characters that both start with."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def ref_of(info: Info) -> str:
    """Return the reference of a listed document, like `handbook@3`."""
    return f"{info['id']}@{info['version']}"


def document_pieces(
    found: Sequence[PromptPart], published: Iterable[DocumentReport] = ()
) -> list[PromptPart]:
    """Select the parts that are documents.

    These are references, texts that ``published`` reports, texts that end in a mark or stand before such a text in
    their message, and long texts.
    """
    places = {report.place for report in published if report.status != "unknown"}
    last_mark = {piece.message: piece.part for piece in found if piece.marked and piece.role != "assistant"}
    return [
        piece
        for piece in found
        if piece.reference is not None
        or piece.place in places
        or (piece.text is not None and piece.part <= last_mark.get(piece.message, -1))
        or (piece.text is not None and len(piece.text) >= LONG and piece.role in ("system", "user"))
    ]


def wanted(found: Sequence[PromptPart], listing: Sequence[Info]) -> list[str]:
    """List the references to fetch for a comparison with the prompt's texts, the nearest in length first."""
    nearest: dict[str, int] = {}
    for piece in _candidates(found):
        core = (piece.text or "").strip()
        if len(core) < ALIKE or _exact(core, listing, {}) is not None:
            continue
        for info in listing:
            if info["characters"] <= 1.25 * len(core) + ALIKE:
                distance = abs(info["characters"] - len(core))
                nearest[ref_of(info)] = min(distance, nearest.get(ref_of(info), distance))
    return sorted(nearest, key=lambda ref: (nearest[ref], ref))[:MOST_TEXTS]


def recognised(
    found: Sequence[PromptPart], listing: Sequence[Info], texts: Mapping[str, str]
) -> list[DocumentReport]:
    """Report every reference, and every text that is, was or may be a published document.

    Args:
        found: The prompt's parts.
        listing: The proxy's documents.
        texts: The texts of those that ``wanted`` named, by reference.

    Example:
        `recognised(prompt_parts(messages), client.documents(), {"handbook@2": "Leave is 30 days"})`
    """
    reports = [_by_name(piece, listing) for piece in found if piece.reference is not None]
    reports += [_by_text(piece, listing, texts) for piece in _candidates(found)]
    return sorted(reports, key=lambda report: report.place)


def unchecked(found: Sequence[PromptPart]) -> list[DocumentReport]:
    """Report the documents of a prompt without asking a proxy."""
    return [
        DocumentReport(
            *piece.place,
            "reference" if piece.reference else "text",
            "unchecked",
            piece.reference,
            characters=len(piece.text or ""),
        )
        for piece in document_pieces(found)
    ]


def _candidates(found: Sequence[PromptPart]) -> list[PromptPart]:
    return [piece for piece in found if piece.text is not None and piece.role in ("system", "user", "tool")]


def _by_name(piece: PromptPart, listing: Sequence[Info]) -> DocumentReport:
    id, _, version = str(piece.reference).partition("@")
    versions = [info for info in listing if info["id"] == id]
    current = version in ("", "latest")
    named = [info for info in versions if (info["current"] if current else _means(info, version))]
    if named:
        return _report(piece, named[0], listing, None)
    return DocumentReport(*piece.place, "reference", "unknown", piece.reference, _current(id, listing))


def _means(info: Info, version: str) -> bool:
    return str(info["version"]) == version or version in info.get("aliases", ())


def _by_text(piece: PromptPart, listing: Sequence[Info], texts: Mapping[str, str]) -> DocumentReport:
    said = piece.text or ""
    core = said.strip()
    info = _exact(core, listing, texts)
    if info is not None:
        return _spelled(piece, info, listing, texts.get(ref_of(info)))
    own = words(core)
    best: tuple[int, Info | None] = (0, None)
    for other in _newest_first(listing):
        if (text := texts.get(ref_of(other))) is None:
            continue
        if own.startswith(words(text)):
            return _spelled(piece, other, listing, text)
        if (offset := core.find(text.strip())) > 0:
            return replace(_report(piece, other, listing, "inside"), offset=offset)
        best = max(best, (common(core, text.strip()), other), key=lambda pair: pair[0])
    alike, nearest = best
    if nearest is not None and alike >= ALIKE:
        difference = _difference(core, texts[ref_of(nearest)].strip())
        return _report(piece, nearest, listing, "changed", difference)
    return DocumentReport(*piece.place, "text", "unknown", characters=len(core))


def _spelled(piece: PromptPart, info: Info, listing: Sequence[Info], text: str | None) -> DocumentReport:
    """Report a part that has the words of a document: found in a spelling that the proxy recognises, and in no other.

    ``text`` is None where a digest has shown that the part begins with it, white space in front aside.
    """
    said = piece.text or ""
    published = said.strip()[: info["characters"]] if text is None else text
    names = {spelling["name"] for spelling in info.get("spellings") or ()}
    if any(said.startswith(variant.rstrip()) for variant in spelled(published, names)):
        return _report(piece, info, listing, None)
    report = _report(piece, info, listing, "whitespace", _difference(said, published))
    return replace(report, cause=cause(said, published), as_published=respelled(said, published))


def _exact(core: str, listing: Sequence[Info], texts: Mapping[str, str]) -> Info | None:
    """Return the longest published text that ``core`` starts with; its ETag is enough where it was not fetched."""
    for info in sorted(_newest_first(listing), key=lambda info: -int(info["characters"])):
        text = texts.get(ref_of(info))
        if text is not None:
            if core.startswith(text.strip()):
                return info
        elif info["characters"] <= len(core) + 1 and _digest(core, info["characters"]) == info["etag"]:
            return info
    return None


def _digest(core: str, characters: int) -> str:
    """Digest the first ``characters`` of ``core``, with the final line feed of files that ``core`` has lost."""
    return text_digest(core[:characters] if characters <= len(core) else core + "\n")


def _newest_first(listing: Sequence[Info]) -> list[Info]:
    return sorted(listing, key=lambda info: (not info["current"], -int(info["version"]), info["id"]))


def _current(id: str, listing: Sequence[Info]) -> str | None:
    return next((ref_of(info) for info in listing if info["id"] == id and info["current"]), None)


def _report(
    piece: PromptPart,
    info: Info,
    listing: Sequence[Info],
    status: Status | None,
    differs: tuple[int, str, str] | None = None,
) -> DocumentReport:
    head: Mapping[str, Any] = next((f for f in info.get("framings", ()) if f["name"] == "system"), {})
    resident = head.get("resident_tokens")
    current = ref_of(info) if info["current"] else _current(info["id"], listing)
    return DocumentReport(
        *piece.place,
        "reference" if piece.reference else "text",
        status or ("current" if info["current"] else "older"),
        ref_of(info),
        current,
        info["tokens"],
        resident if status is None else None,
        len(head.get("replicas", ())) if status is None else 0,
        characters=len(piece.text or ""),
        differs=differs,
    )


def _difference(one: str, other: str) -> tuple[int, str, str]:
    at = common(one, other)
    return at, one[at : at + 24], other[at : at + 24]
