"""Openings of system texts that differ from session to session, in front of much text that does not.

KV is shared from position 0 on, so one such line takes the reuse of all that follows. Two kinds are known. Client
metadata, a line that a client wrote for its own servers, is kept out of the prompt. A volatile line that the model
needs, such as the date, is put behind the stable text, at the end of the system message, where the operator wants that.
Both are recorded as left out.

Only the head is read: the first lines of the first system messages, up to the first line that no rule names, or to a
document. Reading further was rejected, as it would take lines out of documents and out of examples that the model is to
follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from kvproxy.core import Message, Part, TextPart
from kvproxy.wire.bodies.request_reading import RequestReading
from kvproxy.wire.openings.opening_rules import CLIENT_METADATA, NAMED, glob

Where = Callable[[int, int], str]
"""Returns the path, as the client wrote it, of a part by the indices of its message and of itself."""

_BLANK_LINES = re.compile(r"(?:[ \t]*(?:\r\n?|\n))*")


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    """Matches the whole lines that the rule takes, without the last line end."""
    kind: str
    moves: bool


@dataclass(slots=True)
class _Head:
    """The texts that were taken from the head so far."""

    moved: list[str] = field(default_factory=list)
    left_out: dict[tuple[str, str], None] = field(default_factory=dict)
    """(path, kind), each once, in their order."""

    def shortened(self, text: str, where: str, rules: Sequence[_Rule]) -> str:
        """Return ``text`` without its opening, which is recorded here (modified).

        Example: ``head.shortened("Today's date: 2026-01-01\\nBe kind.", "system[0]", rules)``.
        """
        taken, start = 0, _first_line(text, 0)
        while (found := _found(text, start, rules)) is not None:
            rule, match = found
            if rule.moves:
                self.moved.append(match[0].strip())
            self.left_out[where, rule.kind] = None
            taken = start = _first_line(text, match.end())
        return text[taken:]


def settle_openings(
    messages: Sequence[Message], reading: RequestReading, where: Where
) -> tuple[Message, ...]:
    """Return the messages as the model is to see them; ``reading`` records lines left out or moved (modified).

    A system message of which nothing is left goes. A mark on a removed part names no prefix any more.

    Example: ``settle_openings(messages, reading, lambda i, j: f"messages[{i}].content[{j}]")``.
    """
    rules = _rules(reading.policy.client_metadata, reading.policy.volatile_openings)
    head = _Head()
    settled = _without(messages, rules, head, where)
    if head.moved:
        settled = _behind(settled, "\n".join(head.moved))
    if not head.left_out or not settled or settled == list(messages):
        return tuple(messages)
    for param, kind in head.left_out:
        reading.leave_out(param, kind)
    return tuple(settled)


def _without(messages: Sequence[Message], rules: Sequence[_Rule], head: _Head, where: Where) -> list[Message]:
    """Return messages without their head; stop at the first text of which something is left."""
    settled: list[Message] = []
    for i, message in enumerate(messages):
        if message.role != "system":
            return settled + list(messages[i:])
        for j, part in enumerate(message.content):
            rest: Part = part
            if isinstance(part, TextPart):
                rest = replace(part, text=head.shortened(part.text, where(i, j), rules))
            if not isinstance(rest, TextPart) or rest.text:
                kept = replace(message, content=(rest, *message.content[j + 1 :]))
                return [*settled, kept, *messages[i + 1 :]]
    return settled


def _behind(messages: list[Message], text: str) -> list[Message]:
    """Put ``text`` at the end of the last of the system messages at the front."""
    systems = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    part = TextPart(text)
    if systems == 0:
        return [Message("system", (part,)), *messages]
    last = messages[systems - 1]
    return [*messages[: systems - 1], replace(last, content=(*last.content, part)), *messages[systems:]]


def _found(text: str, start: int, rules: Sequence[_Rule]) -> tuple[_Rule, re.Match[str]] | None:
    matches = ((rule, rule.pattern.match(text, start)) for rule in rules)
    return next(((rule, match) for rule, match in matches if match is not None), None)


def _first_line(text: str, start: int) -> int:
    """Return the offset, from ``start`` on, of the first line that is not blank."""
    match = _BLANK_LINES.match(text, start)
    return match.end() if match is not None else start


@lru_cache(maxsize=16)
def _rules(client_metadata: tuple[str, ...], volatile_openings: tuple[str, ...]) -> tuple[_Rule, ...]:
    metadata = [_Rule(glob(line), CLIENT_METADATA, False) for line in client_metadata]
    moved = [
        _Rule(NAMED[name], f"moved: {name}", True)
        if name in NAMED
        else _Rule(glob(name), "moved: own pattern", True)
        for name in volatile_openings
    ]
    return (*metadata, *moved)
