"""Tokens of texts that were encoded a moment ago: tools, instructions and earlier turns come back each time."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Encode = Callable[[], tuple[Sequence[int], Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text's tokens, and how many of them stand at each of its stops whatever follows."""

    token_ids: array[int]
    decided: tuple[int, ...]


class TextMemo:
    """The latest texts of each scope. A scope never finds what another one sent: how long a prompt takes must
    not tell what others wrote."""

    SHORTEST, LONGEST = 8, 1 << 18
    """In characters; a shorter text is encoded as fast as it is found."""
    CHARACTERS = 1 << 23
    """Of all texts together, ``OVERHEAD`` added for each: about 4 times as many bytes are held."""
    OVERHEAD = 128

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str, tuple[int, ...]], Encoded] = OrderedDict()
        self._characters = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def characters(self) -> int:
        """Of all texts that are held, with the overhead of each."""
        return self._characters

    def has(self, scope: str, text: str, stops: tuple[int, ...]) -> bool:
        """Whether ``encoded`` would find this text."""
        return (scope, text, stops) in self._entries

    def encoded(self, scope: str, text: str, stops: tuple[int, ...], encode: Encode) -> Encoded:
        """What ``encode`` gives for ``text`` with stops at these offsets; it is called when that is not held."""
        key = (scope, text, stops)
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
            return found
        token_ids, decided = encode()
        found = Encoded(array("I", token_ids), tuple(decided))
        if self.SHORTEST <= len(text) <= self.LONGEST:
            self._entries[key] = found
            self._characters += len(text) + self.OVERHEAD
            while self._characters > self.CHARACTERS:
                (_, oldest, _), _ = self._entries.popitem(last=False)
                self._characters -= len(oldest) + self.OVERHEAD
        return found
