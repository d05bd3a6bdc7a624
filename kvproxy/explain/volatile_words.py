"""Words of a text that differ from request to request: dates and times, random ids, counters. Pure.

The patterns look at a window of a few hundred characters around one difference, never at a whole prompt, so a match
says what stands at that place and nothing about the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kvproxy.core import MissCause

_MONTH = (
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|tember|ober|ember)?"
)
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_YEAR = r"(?:19|20)\d\d"
_CLOCK = r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:\s?[ap]\.?m\b\.?)?(?:\s?(?:Z|UTC|GMT|[A-Z]{3,4}|[+-]\d\d:?\d\d)\b)?"

_TIMESTAMP = re.compile(
    "|".join(
        (
            # 2026-11-30T09:31:12.123Z, 2026-11-30, 2026/11/30 09:31
            rf"(?<!\d){_YEAR}[-/.]\d{{1,2}}[-/.]\d{{1,2}}(?:[T ,_]+(?:at )?{_CLOCK})?",
            rf"(?<!\d){_YEAR}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:T?\d{{4,6}}Z?)?(?![\da-zA-Z])",  # 20261130T093112Z
            rf"(?<![\d/.])\d{{1,2}}[/.-]\d{{1,2}}[/.-](?:{_YEAR}|\d\d)(?!\d)",  # 30/11/2026
            rf"(?<!\d){_YEAR}\s?[\u5e74]\s?\d{{1,2}}\s?[\u6708]\s?\d{{1,2}}\s?[\u65e5]",
            # Mon Nov 30 09:31:12 UTC 2026, November 30th, 2026, Nov 30
            rf"\b(?:{_WEEKDAY},? )?{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? {_CLOCK})?(?:,? {_YEAR})?",
            # Monday, 30 November 2026, 30. Dezember 2026, 30 de noviembre de 2026
            rf"\b(?:{_WEEKDAY},? )?(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?{_MONTH}\b\.?(?:,? {_YEAR})?",
            rf"\b\d{{1,2}}\.? (?:de )?[^\W\d_]{{3,10}}\.? (?:de )?{_YEAR}\b",
            rf"\b{_MONTH}\.? {_YEAR}\b",
            r"(?<![\w.:])(?:1[4-9]|20)\d{8}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?!\w)",  # epoch
            rf"(?<![\w.:]){_CLOCK}(?![\d:])",
            r"\b\d{1,2}\s?[ap]\.?m\b",
            rf"\b(?:{_WEEKDAY}|(?:january|february|march|april|june|july|august|september|october|november|december))\b",
            r"\b\d+(?:\.\d+)?\s?(?:ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|days?|weeks?)\s(?:ago|old|since)\b",
            r"\b(?:up|uptime)\s?:?\s\d+[^\n]{0,20}",
            r"\bday \d+ of \d+\b",
        )
    ),
    re.IGNORECASE,
)

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)

_RANDOM = re.compile(
    r"\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"  # a JSON web token
    r"|\b(?:sha\d*|md5)[:-][0-9a-f]{6,}\b"
    r"|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,128}\b"
    # sess_01HZX4…, toolu_01AbC, req-7f3k2, /tmp/tmpab12cd_
    r"|\b(?:[A-Za-z]+[_-])+(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{5,128}\b"
    r"|\btmp[a-z0-9_]{6,10}\b"
    r"|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])[A-Za-z0-9_]{12,128}\b"
    r"|\b(?=[0-9A-Z]*\d)(?=[0-9A-Z]*[A-Z])[0-9A-HJKMNP-TV-Z]{20,32}\b",  # a ULID
    re.ASCII,
)

_LABELLED = re.compile(
    r"\b(?:session|conversation|request|thread|trace|span|run|chat|message|correlation|transaction|instance|device|"
    r"user|account|job|task|ticket|nonce|salt|token|cache|build|commit|etag|checksum|digest|hash|signature|cookie|"
    r"seed|boundary|container|pod|host(?:name)?)[ _-]?"
    r"(?:id|identifier|uuid|guid|key|hash|sha|buster|name)?[\"']?\s*(?:[:=#]|\bis\b)\s*[\"']?"
    r"(?P<value>[^\s\"',;<>()]{2,256})",
    re.IGNORECASE,
)

_CLIENT_HEADER = re.compile(r"^[ \t]*x-[a-z0-9]+(?:-[a-z0-9]+)*:[^\r\n]*", re.IGNORECASE | re.MULTILINE)
"""A line that a client wrote for its own servers: its values are ids and digests, as Claude Code's billing header."""

_NUMBER = re.compile(r"[-+]?[$€£]?\d[\d.,_/:%kKMGB]*")


@dataclass(frozen=True, slots=True)
class VolatileWord:
    """A word that another request has in another form, from character ``start`` to ``end`` of a text."""

    cause: MissCause
    start: int
    end: int


def volatile_words(text: str) -> Iterator[VolatileWord]:
    """Yield the volatile words of ``text`` of all kinds but counters, the surest kind first. They may overlap."""
    for pattern, cause in (
        (_CLIENT_HEADER, MissCause.UUID),
        (_UUID, MissCause.UUID),
        (_TIMESTAMP, MissCause.TIMESTAMP),
        (_RANDOM, MissCause.UUID),
    ):
        for match in pattern.finditer(text):
            yield VolatileWord(cause, match.start(), match.end())
    for match in _LABELLED.finditer(text):
        if not _NUMBER.fullmatch(match["value"]):
            yield VolatileWord(MissCause.UUID, match.start("value"), match.end("value"))
        elif sum(map(str.isdigit, match["value"])) >= _LONG_NUMBER:
            yield VolatileWord(MissCause.UUID, match.start("value"), match.end("value"))


_AROUND = 160
"""Characters on either side of a difference in which its word is looked for."""
_LONG_NUMBER = 9
"""Digits from which a labelled number is an id and counts nothing."""


def volatile_at(text: str, position: int) -> list[VolatileWord]:
    """Return the volatile words that ``position`` lies in or at the end of, the surest kind first.

    Example:
        ``volatile_at("Today is 2026-11-30.", 18)[0].cause is MissCause.TIMESTAMP``
    """
    # No word is longer than half of this, but for a client's header, whose line is looked up by itself.
    start, end = max(0, position - _AROUND), position + _AROUND
    around = text[start:end]
    line = text[text.rfind("\n", 0, position) + 1 : position]
    found = [VolatileWord(MissCause.UUID, position, position)] if _CLIENT_HEADER.match(line) else []
    words = (replace(word, start=start + word.start, end=start + word.end) for word in volatile_words(around))
    return found + [word for word in words if word.start <= position <= word.end]


def number_at(text: str, position: int) -> tuple[int, int] | None:
    """Return the start and end of the number that ``position`` lies in or at the end of; None where there is none."""
    for match in _NUMBER.finditer(text, max(0, position - 40), position + 40):
        if match.start() <= position <= match.end():
            return match.start(), match.end()
    return None
