"""`TextPrefixes`: an index that finds all stored texts that a text starts with, also where many begin alike.

A trie whose nodes are the places where stored texts part (a Patricia trie). A search reads one character of the text at
each of those places, blindly, and then compares the text once, with one stored text: whatever else starts like it lies
on the way that was gone. So a search costs the length of the text, however many texts are stored, and nothing has to be
trusted to a hash that another tenant could choose texts for. Keys are the caller's own strings, never copies.

Rejected: digests of openings at fixed lengths (of texts with one long beginning in common each is a candidate), and a
sorted list (each insert copies it, and each search compares long texts many times).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from kvproxy.core.common_prefix import common_prefix

V = TypeVar("V")


class _Leaf(Generic[V]):
    """A key with its values."""

    __slots__ = ("key", "values")

    def __init__(self, key: str, values: tuple[V, ...]) -> None:
        self.key = key
        self.values = values


class _Fork(Generic[V]):
    """A place where keys part: all below begin with the same ``at`` characters."""

    __slots__ = ("at", "below", "ending", "sample")

    def __init__(self, at: int, sample: _Leaf[V]) -> None:
        self.at = at
        self.below: dict[str, _Node[V]] = {}
        """By the character behind the common beginning."""
        self.ending: _Leaf[V] | None = None
        """The key that ends here."""
        self.sample = sample
        """Any key of those here and below."""


_Node = _Leaf[V] | _Fork[V]


@dataclass(frozen=True, slots=True)
class Nearest(Generic[V]):
    """The stored key that shares the longest beginning with a text."""

    key: str
    values: tuple[V, ...]
    common: int
    """Characters of that beginning."""


class TextPrefixes(Generic[V]):
    """Values by key, found by any text that starts with their key. Changed by one thread, read by any.

    A reader sees each change as a whole: nodes that are replaced keep what they had.
    """

    def __init__(self) -> None:
        self._root: _Node[V] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Yield all keys, in no order. For the thread that changes the index."""
        nodes = [self._root] if self._root is not None else []
        while nodes:
            node = nodes.pop()
            leaf = node if isinstance(node, _Leaf) else node.ending
            if leaf is not None:
                yield leaf.key
            nodes += [] if isinstance(node, _Leaf) else node.below.values()

    def put(self, key: str, values: tuple[V, ...]) -> None:
        """Set the values of ``key``; an empty tuple removes it."""
        if values:
            self._add(key, values)
        else:
            self._remove(key)

    def get(self, key: str) -> tuple[V, ...]:
        """Return the values of exactly ``key``; empty where it has none."""
        found = next(self._endings(key), None)
        return found.values if found is not None and len(found.key) == len(key) else ()

    def starting(self, text: str, at: int = 0) -> Iterator[tuple[V, ...]]:
        """Yield the values of each key that ``text[at:]`` starts with, the longest key first."""
        return (leaf.values for leaf in self._endings(text, at))

    def nearest(self, text: str) -> Nearest[V] | None:
        """Return a key that shares the longest beginning with ``text``: one that is all of it, where there is one.

        None where no key shares even the first character.

        Example:
            ``found = index.nearest("The handbook, second edition")``
        """
        way = self._way(text)
        if not way:
            return None
        sample = _sample(way[-1])
        common = _common(sample.key, text)
        for node in way:
            if isinstance(node, _Fork) and node.ending is not None and node.at == common:
                sample = node.ending
        return Nearest(sample.key, sample.values, common) if common else None

    def check(self) -> list[str]:
        """Return every fault of the index in words."""
        keys = list(self)
        faults = [f"the key {key[:40]!r} is not found" for key in keys if not self.get(key)]
        if len(keys) != self._count:
            faults.append(f"{len(keys)} keys are there, {self._count} are counted")
        nodes = [self._root] if self._root is not None else []
        while nodes:
            node = nodes.pop()
            if isinstance(node, _Fork):
                if len(node.below) + (node.ending is not None) < 2:
                    faults.append(f"nothing parts behind {node.at} characters of {node.sample.key[:40]!r}")
                if not any(leaf is node.sample for leaf in self._endings(node.sample.key)):
                    faults.append(f"the sample {node.sample.key[:40]!r} is no key")
                nodes += node.below.values()
        return faults

    def _endings(self, text: str, at: int = 0) -> Iterator[_Leaf[V]]:
        """Yield the leaves with keys that ``text[at:]`` starts with, the longest first."""
        way = self._way(text, at)
        if not way:
            return
        common = _common(_sample(way[-1]).key, text, at)
        for node in reversed(way):
            leaf = node if isinstance(node, _Leaf) else node.ending
            if leaf is not None and len(leaf.key) <= common:
                yield leaf

    def _way(self, text: str, at: int = 0) -> list[_Node[V]]:
        """Return the nodes from the root on that the characters of ``text[at:]`` lead to, whatever stands between
        them."""
        way: list[_Node[V]] = []
        node, end = self._root, len(text) - at
        while node is not None:
            way.append(node)
            if isinstance(node, _Leaf) or node.at >= end:
                break
            node = node.below.get(text[at + node.at])
        return way

    def _add(self, key: str, values: tuple[V, ...]) -> None:
        way, leaf = self._way(key), _Leaf(key, values)
        if not way:
            self._root, self._count = leaf, 1
            return
        common = _common(_sample(way[-1]).key, key)
        place = next((i for i, node in enumerate(way) if _depth(node) >= common), len(way) - 1)
        node = way[place]
        if isinstance(node, _Leaf) and len(node.key) == common == len(key):
            node.values = values
            return
        if isinstance(node, _Fork) and node.at == common:
            if common < len(key):
                node.below[key[common]] = leaf
            elif node.ending is None:
                node.ending = leaf
            else:
                node.ending.values = values
                return
        else:
            self._replace(way, place, key, _parted(node, leaf, common))
        self._count += 1

    def _remove(self, key: str) -> None:
        way = self._way(key)
        last = way[-1] if way else None
        if last is None or _sample(last).key[: len(key)] != key:
            return
        if isinstance(last, _Leaf):
            if len(last.key) > len(key):
                return
            gone = last
            way.pop()
            if not way:
                self._root, self._count = None, 0
                return
            fork = way[-1]
            assert isinstance(fork, _Fork)
            del fork.below[key[fork.at]]
        elif last.at == len(key) and last.ending is not None:
            fork, gone, last.ending = last, last.ending, None
        else:
            return
        self._count -= 1
        left = [*fork.below.values(), *([fork.ending] if fork.ending is not None else [])]
        if len(left) == 1:
            self._replace(way, len(way) - 1, key, left[0])
            way.pop()
        for above in reversed(way):
            if isinstance(above, _Fork) and above.sample is gone:
                above.sample = above.ending or _sample(next(iter(above.below.values())))

    def _replace(self, way: list[_Node[V]], place: int, key: str, node: _Node[V]) -> None:
        """Put ``node`` where ``way[place]`` is, by one assignment. ``key``: any text that leads there."""
        if place == 0:
            self._root = node
            return
        above = way[place - 1]
        assert isinstance(above, _Fork)
        above.below[key[above.at]] = node


def _parted(node: _Node[V], leaf: _Leaf[V], common: int) -> _Fork[V]:
    """Return a fork of ``node`` and a new key, of which ``common`` characters are the same."""
    fork = _Fork(common, leaf)
    for part, key in ((node, _sample(node).key), (leaf, leaf.key)):
        if len(key) > common:
            fork.below[key[common]] = part
        elif isinstance(part, _Leaf):
            fork.ending = part
    return fork


def _depth(node: _Node[V]) -> int:
    return len(node.key) if isinstance(node, _Leaf) else node.at


def _sample(node: _Node[V]) -> _Leaf[V]:
    return node if isinstance(node, _Leaf) else node.sample


def _common(key: str, text: str, at: int = 0) -> int:
    """Return the length of the common beginning. Mostly it is all of the key, which costs one comparison and no
    copy."""
    return len(key) if text.startswith(key, at) else common_prefix(key, text, at)
