"""`SseLines`: the payloads of a stream of server-sent events, from bytes cut anywhere."""

from __future__ import annotations

MOST_BYTES = 8 << 20
"""Bytes of one event: logprobs of a chunk take some thousands."""


class EventTooLong(ValueError):
    """An event that has no end within MOST_BYTES."""


class SseLines:
    """Collects bytes and returns the payloads that are whole. An event is one ``data:`` line, as every engine writes
    it; comments and other fields are left out. A character that is cut between two pieces is whole again here, since
    payloads stay bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the payloads that end in ``piece``. Raises EventTooLong."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise EventTooLong(f"an event of more than {MOST_BYTES} bytes")
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]
