"""Rules for volatile openings: names and patterns that the config section ``requests`` may list."""

from __future__ import annotations

import re

CLIENT_METADATA = "client metadata"
"""The kind under which a line kept out of the prompt is reported."""

_END = r"[ \t]*(?=[\r\n]|\Z)"
_DECORATION = r"[ \t]*(?:[#>*-]+[ \t]*)?(?:\*\*)?"
_IS = r"(?:\*\*)?[ \t]*(?:[:=]|is now|is)(?:\*\*)?[ \t]*"
_VALUE = r"[^\r\n]{0,60}\d[^\r\n]{0,60}"
_WEEKDAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?[ \t]+)?"
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DAY = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|\.)?[ \t]+{_MONTH},?[ \t]+\d{{4}}"
    rf"|{_MONTH}[ \t]+\d{{1,2}}(?:st|nd|rd|th)?,?(?:[ \t]+[\d:]+)?[ \t]+\d{{4}})"
)
_CLOCK = r"(?:[T ,]+\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?[ \t]*(?:[ap]\.?m\.?|Z|UTC|GMT|[+-]\d\d:?\d\d)?)?"


def _line(pattern: str) -> re.Pattern[str]:
    return re.compile(f"{_DECORATION}(?:{pattern}){_END}", re.IGNORECASE)


NAMED = {
    "date": _line(
        rf"(?:today|today['\u2019]s date|(?:the |your )?current date|the date today|the date|date){_IS}{_VALUE}"
        rf"|\[?{_WEEKDAY}{_DAY}{_CLOCK}\]?\.?"
    ),
    "time": _line(
        r"(?:(?:the )?(?:current|local|system)[ _-](?:date[ _-]and[ _-]time|date ?/ ?time|datetime|time|timestamp)"
        r"|the time|now|time|timestamp|datetime)(?:[ \t]*\([^()\r\n]{1,40}\))?"
        rf"{_IS}{_VALUE}|it(?:['\u2019]s| is) now {_VALUE}"
    ),
    "session": _line(
        r"(?:session|conversation|request|thread|trace|run|chat)[ _-]?(?:id|identifier|uuid)"
        r"(?:\*\*)?[ \t]*[:=](?:\*\*)?[ \t]*[^\s]{1,128}"
    ),
    "env": re.compile(
        r"[ \t]*<(env|environment|environment_context|environment_details)>(?:(?!</\1>)[\s\S]){0,4000}</\1>"
        + _END
    ),
}
"""Shapes of volatile openings by name: a whole line, and for ``env`` a whole block of lines."""


def glob(pattern: str) -> re.Pattern[str]:
    """Compile an operator's pattern of a line: ``*`` stands for anything, all else for itself, in either case."""
    first, *parts = (re.escape(part) for part in re.split(r"\*+", pattern.strip()))
    # Each part matches at its first place, without backtracking: a line costs its length with any pattern.
    middle = "".join(rf"(?>[^\r\n]*?{part})" for part in parts[:-1])
    last = rf"[^\r\n]*{parts[-1]}" if parts else ""
    return re.compile(rf"[ \t]*{first}{middle}{last}{_END}", re.IGNORECASE)
