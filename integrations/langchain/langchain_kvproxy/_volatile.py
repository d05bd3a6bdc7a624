"""`volatile`: finds dates, times, ids and counters in a text, which differ in the next prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["client-metadata", "timestamp", "uuid", "date", "time", "counter"]

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = r"(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?!\d)"
_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_METADATA = re.compile(r"\s*(x-[a-z0-9]+(?:-[a-z0-9]+)*-header:[^\r\n]*)", re.IGNORECASE)
"""A line that a client puts in front of its system prompt for its vendor's accounts, as Claude Code does."""
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "timestamp",
        re.compile(rf"{_DATE}[T ,]+\d{{1,2}}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s*(?:Z\b|UTC\b|[+-]\d\d:?\d\d))?"),
    ),
    ("uuid", re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)),
    ("uuid", re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b")),
    (
        "time",
        re.compile(
            r"(?<![\d.:])(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?!\d|:)(?:\s*[ap]\.?m\b\.?)?",
            re.IGNORECASE,
        ),
    ),
    ("timestamp", re.compile(r"(?<![\d.])1[4-9]\d{8}(?:\d{3}|\.\d+)?(?![\d.])")),
    (
        "date",
        re.compile(
            rf"\b{_WEEKDAY},? (?:the )?"
            rf"(?:\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{_MONTH}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?)"
            r"(?:,? (?:19|20)\d\d)?\b",
            re.IGNORECASE,
        ),
    ),
    ("date", re.compile(rf"(?<!\d){_DATE}")),
    ("date", re.compile(r"(?<![\d/])\d{1,2}[/.]\d{1,2}[/.](?:19|20)\d\d(?!\d)")),
    ("date", re.compile(rf"\b\d{{1,2}}(?:st|nd|rd|th|\.)? {_MONTH},? (?:19|20)\d\d\b", re.IGNORECASE)),
    ("date", re.compile(rf"\b{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d\d\b", re.IGNORECASE)),
    (
        "counter",
        re.compile(
            r"\b(?:(?:request|run|session|turn|attempt|iteration|conversation|trace|ticket)"
            r"(?: ?(?:id|no|nr|number|count)\b\.?)?\s*[:=#]?\s*#?\d+|step \d+ (?:of|/) ?\d+)\b",
            re.IGNORECASE,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Volatile:
    """A match in a text, at the character ``start``."""

    kind: Kind
    text: str
    start: int


def volatile(text: str) -> list[Volatile]:
    """Find a client's header, timestamps, uuids (and long hexadecimal ids), dates and counters, in order of place."""
    header = client_metadata(text)
    found = (
        [Volatile("client-metadata", header.strip(), len(header) - len(header.lstrip()))] if header else []
    )
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if not any(match.start() < f.start + len(f.text) and f.start < match.end() for f in found):
                found.append(Volatile(kind, match[0], match.start()))
    return sorted(found, key=lambda place: place.start)


def client_metadata(text: str) -> str | None:
    """Return the client's header in front of a text, with the white space before it; None where there is none."""
    match = _METADATA.match(text)
    return match[0] if match else None
