"""Whole numbers in text, bounded before they are converted: Python converts none of more than 4,300 digits."""

from __future__ import annotations

from kvproxy.errors import InvalidRequest

MOST_DIGITS = 308
"""Digits of an integer in JSON: a longer one is larger than any number that JSON's readers agree on, a double's."""


def whole_number(text: str, most: int) -> int | None:
    """Return ``text`` as a number of 0 to ``most``; None where it is not ASCII digits, few enough."""
    if most < 0 or not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    number = int(text)
    return number if number <= most else None


def json_integer(digits: str) -> int:
    """Convert an integer, as ``parse_int`` of a JSON reader. Raises InvalidRequest."""
    if (count := len(digits.removeprefix("-"))) > MOST_DIGITS:
        # The message holds no digit of it: an unreadable body may hold secrets.
        raise InvalidRequest(f"A number has {count} digits. Send numbers of at most {MOST_DIGITS}.")
    return int(digits)
