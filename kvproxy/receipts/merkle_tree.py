"""Merkle trees of RFC 9162: roots, inclusion and consistency proofs, and the right edge that a tree grows from.

All functions take and return leaf hashes and node hashes of 32 bytes. Leaves and nodes are hashed with different first
bytes, so that no node can be shown as a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: sha256 of 0x00 and its data."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: sha256 of 0x01 and its children's hashes."""
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class RightEdge:
    """The roots of a tree's complete subtrees, largest first: all that is needed to append, and to know its root.

    A tree of n leaves has as many as n has bits that are set.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has not {len(self.peaks)} complete subtrees")

    def grown(self, leaves: Iterable[bytes]) -> RightEdge:
        """Return the edge with more leaves behind it. Costs two hashes a leaf, whatever the tree's size."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            node, complete = leaf, size
            while complete & 1:
                node = node_hash(peaks.pop(), node)
                complete >>= 1
            peaks.append(node)
            size += 1
        return RightEdge(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """The root of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree with these leaf hashes."""
    return RightEdge().grown(leaves).root


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the path from leaf ``index`` to the root: the siblings' hashes, lowest first (RFC 9162, 2.1.3.1).

    Raises ValueError for an index that the tree has not.
    """
    if not 0 <= index < len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves has no leaf {index}")
    path: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            path.append(tree_root(leaves[low:middle]))
            low = middle
    return path[::-1]


def consistency_proof(old: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return the proof that the tree's first ``old`` leaves are those of the tree of that size (RFC 9162, 2.1.4.1).

    Raises ValueError for a size that is not from 1 to the number of leaves.
    """
    if not 1 <= old <= len(leaves):
        raise ValueError(f"a tree of {len(leaves)} leaves was never one of {old} and more")
    proof: list[bytes] = []
    low, high, whole = 0, len(leaves), True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(tree_root(leaves[middle:high]))
            high = middle
        else:
            proof.append(tree_root(leaves[low:middle]))
            low, whole = middle, False
    if not whole:
        proof.append(tree_root(leaves[low:high]))
    return proof[::-1]


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check that a tree of ``size`` leaves with this root has this leaf at ``index`` (RFC 9162, 2.1.3.2).

    Example:
        ``includes(leaf, 3, 7, inclusion_proof(3, leaves), root)``
    """
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def extends(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check that the tree of ``new`` leaves begins with the tree of ``old`` leaves (RFC 9162, 2.1.4.2).

    Example:
        ``extends(3, 7, consistency_proof(3, leaves), old_root, new_root)``
    """
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, node)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _split(size: int) -> int:
    """Return the largest power of two below ``size``, of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
