"""The formats and patterns of JSON schema strings that a grammar enforces, and their expressions. Data only."""

from __future__ import annotations

FORMATS = frozenset("email hostname ipv4 ipv6 uuid uri duration".split())
"""Formats that the library's own expressions enforce."""

UNENFORCED = frozenset(
    "idn-email idn-hostname uri-reference iri iri-reference uri-template json-pointer relative-json-pointer "
    "regex".split()
)
"""Formats that JSON schema defines and the library does not enforce. A format that JSON schema does not define asserts
nothing."""

_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_TIME = (
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
WRITTEN = {"date": f"^{_DATE}$", "time": f"^{_TIME}$", "date-time": f"^{_DATE}T{_TIME}$"}
"""Formats for which the library admits February 29 of every year and the year 0, which parsers refuse."""

EQUAL_PATTERNS = {
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$": r"^[+-]?(\d+\.?\d*|\.\d+)$",  # pydantic's Decimal
}
"""Patterns with look-around that SDKs write, and equal ones without it."""
