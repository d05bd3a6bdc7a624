"""`TextMemo`: tokens of recently encoded texts: tools, instructions and earlier turns come back with each request."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Encode = Callable[[], tuple[Sequence[int], Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's tokens, and for each of its stops the number of them that no later text changes."""

    token_ids: array[int]
    decided: tuple[int, ...]


class TextMemo:
    """The latest texts of each scope, by their digests: tokens are held, texts are not.

    A scope never finds another scope's texts: the time that a prompt takes must not show the texts of other tenants.
    Safe in any thread.
    """

    SHORTEST, LONGEST = 8, 1 << 18
    """Bounds in characters; a shorter text is encoded as fast as it is found."""
    CHARACTERS = 1 << 23
    """Characters of all texts together, with ``OVERHEAD`` added for each: about as many bytes are held."""
    OVERHEAD = 512

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, bytes, tuple[int, ...]], tuple[Encoded, int]] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def characters(self) -> int:
        """Characters of all held texts, with the overhead of each."""
        return self._characters

    def encoded(self, scope: str, text: str, stops: tuple[int, ...], encode: Encode) -> Encoded:
        """Return the result of ``encode`` for ``text`` with stops at these offsets; calls it when that is not held.

        Example:
            ``found = memo.encoded(scope, text, (12,), encode)``
        """
        if not self.SHORTEST <= len(text) <= self.LONGEST:
            return _encoded(encode)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        key = (scope, digest, stops)
        with self._lock:
            held = self._entries.get(key)
            if held is not None:
                self._entries.move_to_end(key)
                return held[0]
        found, size = _encoded(encode), len(text) + self.OVERHEAD
        with self._lock:
            self._put(key, found, size)
        return found

    def _put(self, key: tuple[str, bytes, tuple[int, ...]], found: Encoded, size: int) -> None:
        if key in self._entries:  # another thread has encoded it meanwhile
            return
        self._entries[key] = found, size
        self._characters += size
        while self._characters > self.CHARACTERS:
            _, (_, size) = self._entries.popitem(last=False)
            self._characters -= size


def _encoded(encode: Encode) -> Encoded:
    token_ids, decided = encode()
    return Encoded(array("I", token_ids), tuple(decided))
