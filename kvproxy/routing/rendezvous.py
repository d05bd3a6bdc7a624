"""`RendezvousRing`: weighted rendezvous hashing. Each key has an order of the replicas; a replica that leaves moves
its own keys only, each to the next in that key's order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(bits) for bits in (30, 27, 31, 11))
_UNIT = 2.0**-53
_FEW = 8


def routing_key(fingerprint: str, document_key: str) -> str:
    """Return the key that a document is placed by: another engine's fingerprint gives another placement.

    Example: ``routing_key("vllm-0.32.0-1f2e3d4c", "handbook@3")``
    """
    return f"{fingerprint}\x00{document_key}"


def stable_hash(text: str) -> np.uint64:
    """Return 64 bits of BLAKE2b: equal in every process and on every machine, unlike ``hash``."""
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


class RendezvousRing:
    """Orders of replicas by key. Replicas have positions, which the caller numbers from 0.

    A replica's score for a key is ``-ln(u) / weight`` with ``u`` from a hash of both; the least score is first. Of
    many keys, a replica is first for its share of the weights.
    """

    __slots__ = ("_even", "_seeds", "_weights")

    def __init__(self, names: Sequence[str], weights: Sequence[float]) -> None:
        if len(names) != len(weights):
            raise ValueError(f"{len(names)} names and {len(weights)} weights")
        self._seeds = np.array([stable_hash(name) for name in names], dtype=np.uint64)
        self._weights = np.array(weights, dtype=np.float64)
        self._even = len(set(weights)) <= 1

    def scores(self, key: str) -> npt.NDArray[np.float64]:
        """Return each replica's score for a key, float64 ``[replicas]``; the least is first in the key's order."""
        bits = (_mixed(self._seeds ^ stable_hash(key)) >> _S11).astype(np.float64)
        if self._even:
            # The order of -ln(u) is that of -u, without a logarithm, whose last bit may differ between machines.
            return 1.0 - bits * _UNIT
        scores: npt.NDArray[np.float64] = -np.log((bits + 0.5) * _UNIT) / self._weights
        return scores


def in_order(scores: npt.NDArray[np.float64], among: npt.NDArray[np.bool_] | None = None) -> Iterator[int]:
    """Yield positions by rising score, those of ``among`` only. Sorts no more than the caller takes, a few at a time
    at first.

    Example: ``next(in_order(ring.scores("handbook@3"), replicas.up))``
    """
    if among is not None:
        scores = np.where(among, scores, np.inf)
    left = len(scores) if among is None else int(np.count_nonzero(among))
    few = min(_FEW, left)
    if few < left:
        first = np.argpartition(scores, few - 1)[:few]
        yield from (int(at) for at in first[np.argsort(scores[first], kind="stable")])
    if left:
        order = np.argsort(scores, kind="stable")
        yield from (int(at) for at in order[(few if few < left else 0) : left])


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return splitmix64 of each: every bit of the input changes every bit of the result."""
    bits = bits + _GOLDEN
    bits = (bits ^ (bits >> _S30)) * _FIRST
    bits = (bits ^ (bits >> _S27)) * _SECOND
    return bits ^ (bits >> _S31)
