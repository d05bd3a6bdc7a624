"""`cause_of`: the cause of one difference of two prompts or texts, from what stands at that place. Pure."""

from __future__ import annotations

import re
import unicodedata

from kvproxy.core import MissCause
from kvproxy.explain.json_reordering import reordered_at
from kvproxy.explain.text_difference import TextDifference
from kvproxy.explain.text_forms import form_cause, without_space
from kvproxy.explain.volatile_words import VolatileWord, number_at, volatile_at, volatile_words

_ROLES = frozenset(
    (
        "system",
        "developer",
        "user",
        "human",
        "assistant",
        "model",
        "tool",
        "ipython",
        "function",
        "observation",
    )
)
_HEADER = re.compile(
    r"(?:<\|[^|>\s]{1,40}\|>|<start_of_turn>|<[a-z_]{3,20}>|\[(?:INST|SYSTEM_PROMPT)\])\s*(\w*)\Z"
)
"""The head of a message, as chat templates write it, up to a place inside of the role's name."""

_DIGITS = re.compile(r"\d+")
_RESUMED = 8
"""Characters behind two numbers that must agree before the numbers count something of the same text."""
_INSERTED = 480
"""Characters that one of two texts may have more, before they go on alike."""
_ANCHOR = 24
"""Characters by which the place is found where they do."""


def cause_of(difference: TextDifference) -> MissCause:
    """Return the cause of a difference, UNKNOWN where none is recognised. It looks at the first difference alone.

    Example:
        ``cause_of(first_difference("It is 9:30. Be kind.", "It is 9:45. Be kind.")) is MissCause.TIMESTAMP``
    """
    if difference.none:
        return MissCause.UNKNOWN
    form = _form(difference)
    if form is not None:
        return form
    if _roles_differ(difference):
        return MissCause.ROLE_OR_TEMPLATE
    before = difference.before
    if reordered_at(before + difference.sent, before + difference.other, len(before)):
        return MissCause.TOOLS_ORDER
    return _volatile(difference) or _inserted(difference) or MissCause.UNKNOWN


def volatile_cause(text: str) -> MissCause | None:
    """Return the cause that an opening would be for the text behind it: a date or an id in it; None where there is
    neither.

    Example:
        ``volatile_cause("It is 2026-11-22 09:30.\\n") is MissCause.TIMESTAMP``
    """
    return next((word.cause for word in volatile_words(text)), None)


def _form(difference: TextDifference) -> MissCause | None:
    sent, other = difference.sent, difference.other
    if unicodedata.combining(sent[0]) or unicodedata.combining(other[0]):
        sent, other = difference.before[-1:] + sent, difference.before[-1:] + other
    return form_cause(sent, other, whole=difference.whole)


def _roles_differ(difference: TextDifference) -> bool:
    header = _HEADER.search(difference.before)
    if header is None:
        return False
    names = (_word(header[1] + difference.sent), _word(header[1] + difference.other))
    return names[0] != names[1] and all(name in _ROLES for name in names)


def _word(text: str) -> str:
    found = re.match(r"\w+", text)
    return found[0].lower() if found else ""


def _volatile(difference: TextDifference) -> MissCause | None:
    """Return the cause where both texts have a volatile word of one kind at the difference, or a number."""
    at = len(difference.before)
    sent, other = difference.before + difference.sent, difference.before + difference.other
    ours, theirs = volatile_at(sent, at), volatile_at(other, at)
    for word in ours:
        if any(word.cause is found.cause for found in theirs):
            return word.cause
    if _resume(sent, other, number_at(sent, at), number_at(other, at)):
        return MissCause.COUNTER
    # One half of a word is known: "Nov 3" beside "today", or a random id whose beginning has no digit.
    one = next((word for word in (*ours, *theirs) if word.start < at), None)
    return one.cause if one is not None and _goes_on(difference, one) else None


def _resume(sent: str, other: str, one: tuple[int, int] | None, two: tuple[int, int] | None) -> bool:
    if one is None or two is None:
        return False
    # Counters stand together: "34534 of 200000, 165466 remain". Of the text behind the first, digits count for nothing.
    rests = (_uncounted(sent[one[1] :])[:_RESUMED], _uncounted(other[two[1] :])[:_RESUMED])
    return rests[0] == rests[1] and len(rests[0]) == _RESUMED


def _uncounted(text: str) -> str:
    return without_space(_DIGITS.sub("", text[: 2 * _INSERTED]))


def _goes_on(difference: TextDifference, word: VolatileWord) -> bool:
    """Return whether both texts go on alike behind their differing words."""
    rest = (difference.before + difference.sent)[word.end :]
    anchor = rest[:_ANCHOR].strip() or rest[:_ANCHOR]
    return len(anchor) >= _RESUMED and anchor in difference.other[: _INSERTED + _ANCHOR]


def _inserted(difference: TextDifference) -> MissCause | None:
    """Return the cause where one text has more, a volatile line, and goes on as the other does."""
    for longer, shorter in ((difference.sent, difference.other), (difference.other, difference.sent)):
        anchor = shorter[:_ANCHOR]
        end = longer.find(anchor, 1, _INSERTED + _ANCHOR) if len(anchor) >= _RESUMED else -1
        if end > 0:
            # The texts may share the end of what was inserted: "[a] [b] Be kind" beside "[b] Be kind".
            tail = difference.before[-_ANCHOR:]
            line = tail[tail.rfind("\n") + 1 :]
            found = volatile_cause(line + longer[:end])
            if found is not None:
                return found
            if not without_space(longer[:end]):
                return MissCause.WHITESPACE
    return None
