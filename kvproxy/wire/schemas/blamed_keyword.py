"""Finds the schema keyword behind a compiler's message. Pure."""

from __future__ import annotations

import re

_BLAME = (
    ("oneOf", "oneOf"),
    ("min/maxProperties", "minProperties"),
    ("minProperties", "minProperties"),
    ("patternPropert|pattern propert", "patternProperties"),
    ("integer range|float range|minimum|maximum", "minimum/maximum"),
    (r"look-?(around|ahead|behind)|regex|backreference", "pattern"),
    ("format", "format"),
    (r"\$ref|circular reference", "$ref"),
    ("multipleOf|multiple_of", "multipleOf"),
)

_SOURCE = re.compile(r"^ *[0-9]+ \| ", re.MULTILINE)
"""Behind it the compiler repeats the grammar, which names every keyword of the schema."""


def explain_rejection(reason: str, culprit: str | None = None) -> str:
    """Return a compiler's message in one line, the keyword behind it in front.

    ``culprit`` is used where the message names none.
    """
    message = re.sub(
        r"^at \d+\(\d+\): |failed to compile JSON schema: ", "", _SOURCE.split(reason)[0].strip()
    )
    line = message.splitlines()[0].rstrip(":") if message else "it cannot be compiled"
    why = re.search(r"^error: (.+)$", message, re.MULTILINE)
    line = f"{line}: {why[1]}" if why else line
    keyword = blamed_keyword(message) or culprit
    return f"'{keyword}' cannot be enforced ({line})" if keyword else f"it cannot be enforced ({line})"


def blamed_keyword(reason: str) -> str | None:
    """Return the schema keyword that a compiler's message is about, or None where it points to none."""
    message = _SOURCE.split(reason)[0]
    return next((keyword for sign, keyword in _BLAME if re.search(sign, message, re.IGNORECASE)), None)
