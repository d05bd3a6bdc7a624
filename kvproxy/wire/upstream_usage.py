"""`UpstreamCounts`: the tokens of an upstream's answer by its own report, in any dialect, whole or in events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kvproxy.events import Usage
from kvproxy.wire.upstream_events import Dialect

TEXT_PER_TOKEN = 4
"""Bytes of text for a token, where an upstream reports nothing: the estimate of most providers."""

MOST_KEPT = 16 * 2**20
"""Bytes of a whole answer, or of one event, that are read for their usage; a larger one is estimated."""

_ENDS = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed"})


_MOST_NAME = 128
"""Characters of a name that an upstream sent: an answer's id, a model, a reason."""


@dataclass(slots=True)
class UpstreamNames:
    """The names in one upstream's answer, for the record of its request: cut to a bounded length, none of them text."""

    id: str | None = None
    model: str | None = None
    """The model that answered, by its own word: of a fallback another one than was asked."""
    reasons: dict[int, str] = field(default_factory=dict)
    """The reasons that choices ended with, in the upstream's words."""
    first_at: float | None = None
    """``time.perf_counter`` of the first piece."""

    def read(self, value: Mapping[str, Any]) -> None:
        """Read a whole answer or one event of a stream."""
        self.first_at = self.first_at or time.perf_counter()
        for holder in (value, value.get("response"), value.get("message")):
            if isinstance(holder, Mapping):
                self._read_head(holder)
        delta = value.get("delta")
        if isinstance(delta, Mapping):
            self._end(0, delta.get("stop_reason"))

    def _read_head(self, holder: Mapping[str, Any]) -> None:
        if isinstance(id := holder.get("id"), str) and id:
            self.id = self.id or id[:_MOST_NAME]
        if isinstance(model := holder.get("model"), str) and model:
            self.model = model[:_MOST_NAME]
        self._end(0, holder.get("stop_reason"))
        if holder.get("object") == "response" and holder.get("status") in (
            "completed",
            "incomplete",
            "failed",
        ):
            self._end(0, holder["status"])
        choices = holder.get("choices")
        for at, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, Mapping):
                index = choice.get("index")
                self._end(index if isinstance(index, int) else at, choice.get("finish_reason"))

    def _end(self, choice: int, reason: Any) -> None:
        if isinstance(reason, str) and reason and len(self.reasons) < _MOST_NAME:
            self.reasons[choice] = reason[:_MOST_NAME]


class UpstreamCounts:
    """Counts of one answer. An upstream that reports no usage is estimated: a token for each piece of a stream, for
    four bytes of a whole answer, and for four bytes of the request's body."""

    def __init__(self, endpoint: Dialect, body_bytes: int) -> None:
        self._endpoint = endpoint
        self._body_bytes = body_bytes
        self._counts: dict[str, int] = {}
        self._pieces = 0
        self._answer_bytes = 0
        self.names = UpstreamNames()
        self.begun = False
        """True once anything of the answer has come."""
        self.ended = False
        """True once the stream's own last event has come."""

    def see(self, value: Mapping[str, Any]) -> None:
        """Read a whole answer or one event of a stream."""
        self.begun = True
        self.names.read(value)
        self._pieces += self._pieces_of(value)
        self.ended = self.ended or value.get("type") in _ENDS
        for holder in (value, value.get("response"), value.get("message")):
            if isinstance(holder, Mapping) and isinstance(counts := holder.get("usage"), Mapping):
                self._add(counts)

    def see_bytes(self, count: int, pieces: int = 0) -> None:
        """Note bytes of an answer that are not read, and pieces of a stream in them."""
        self.begun = self.begun or count > 0
        self._answer_bytes += count
        self._pieces += pieces

    @property
    def reported(self) -> bool:
        """Whether the upstream has said how long the prompt was."""
        return "prompt_tokens" in self._counts or "input_tokens" in self._counts

    def usage(self) -> Usage:
        """Return the usage by now: reported where it is, estimated where not."""
        counts = self._counts
        if not self.reported:
            prompt = -(-self._body_bytes // TEXT_PER_TOKEN)
            return Usage(prompt, self._pieces or -(-self._answer_bytes // TEXT_PER_TOKEN), 0)
        cached = counts.get("cached_tokens", counts.get("cache_read_input_tokens", 0))
        prompt = counts.get("prompt_tokens", counts.get("input_tokens", 0))
        if self._endpoint == "messages":
            # Anthropic's three counts exclude each other.
            prompt += cached + counts.get("cache_creation_input_tokens", 0)
        generated = counts.get("completion_tokens", counts.get("output_tokens", 0))
        return Usage(prompt, max(generated, 0 if self.ended else self._pieces), min(cached, prompt))

    @property
    def cache_writes(self) -> int:
        """Tokens of the prompt that the upstream has written to its own cache, by its report."""
        return self._counts.get("cache_creation_input_tokens", self._counts.get("cache_write_tokens", 0))

    @property
    def reasoning(self) -> int:
        """Tokens of the answer that were reasoning, by the upstream's report."""
        return self._counts.get("reasoning_tokens", 0)

    def _add(self, counts: Mapping[str, Any]) -> None:
        for name, value in (*counts.items(), *_details(counts, "prompt", "input", "completion", "output")):
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._counts[str(name)] = value

    def _pieces_of(self, value: Mapping[str, Any]) -> int:
        kind = value.get("type")
        if isinstance(kind, str) and (kind == "content_block_delta" or kind.endswith(".delta")):
            return 1
        choices = value.get("choices")
        return sum(map(_says, choices)) if isinstance(choices, list) else 0


class RawUsage:
    """Reads usage out of an answer's bytes as they pass by. Modifies its :class:`UpstreamCounts`.

    Only events that name a usage or an end are decoded.
    """

    def __init__(self, counts: UpstreamCounts, *, events: bool) -> None:
        """``events``: the answer is a stream of events; False: one JSON value.

        Example: ``RawUsage(UpstreamCounts("messages", 512), events=True)``
        """
        self._counts = counts
        self._events = events
        self._kept = b""

    def lines(self, chunk: bytes) -> list[bytes]:
        """Take a chunk; return the events in it that have to be decoded."""
        if not self._events:
            self._counts.see_bytes(len(chunk))
            self._kept = self._kept + chunk if len(self._kept) + len(chunk) <= MOST_KEPT else b""
            return []
        *lines, self._kept = (self._kept + chunk).split(b"\n")
        if len(self._kept) > MOST_KEPT:
            self._kept = b""
        told = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        wanted = [line for line in told if _interesting(line)]
        others = [line for line in told if not _interesting(line)]
        self._counts.see_bytes(len(chunk), sum(b"delta" in line or b'"text"' in line for line in others))
        self._counts.ended = self._counts.ended or b"[DONE]" in told
        return wanted

    def rest(self) -> list[bytes]:
        """Return the whole answer, or the last event, at its end."""
        kept, self._kept = self._kept, b""
        if self._events:
            kept = kept.removeprefix(b"data:").strip()
        return [kept] if kept else []

    def decode(self, value: bytes) -> None:
        """Read one of the values that ``lines`` and ``rest`` return; one that is no JSON object is skipped."""
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return
        if isinstance(decoded, dict):
            self._counts.see(decoded)


def _details(counts: Mapping[str, Any], *sides: str) -> list[tuple[str, Any]]:
    """Return the counts below ``prompt_tokens_details`` and its like."""
    found = [counts.get(f"{side}_tokens_details") for side in sides]
    return [item for details in found if isinstance(details, Mapping) for item in details.items()]


def _interesting(line: bytes) -> bool:
    named = b'"usage"' in line and b'"usage":null' not in line
    return named or b"message_stop" in line or (b'"response.' in line and b".delta" not in line)


def _says(choice: Any) -> bool:
    """Whether a choice of a chunk has some of its answer."""
    if not isinstance(choice, Mapping):
        return False
    delta = choice.get("delta")
    said = (
        any(value for name, value in delta.items() if name != "role") if isinstance(delta, Mapping) else False
    )
    return said or bool(choice.get("text"))
