"""`PreviousRequests`: the token ids and digests of what each scope sent lately, in bounded memory. No text.

A scope's requests lie sorted by their token ids, so that the one with the longest common beginning is a neighbour of
the place where a new one belongs: a search costs a few comparisons, however many are kept.
"""

from __future__ import annotations

import sys
import threading
import time
from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kvproxy.core.common_prefix import common_prefix
from kvproxy.explain.request_outline import RequestOutline

_TOKEN_BYTES = 4
_ENTRY_BYTES = 400
"""Memory of an entry beside its token ids and outline, about."""
_LOOKED_AT = 16
"""Neighbours that are passed over at most, of requests that only continue the one that is compared."""
SHARE = 4
"""A scope may take one part in so many of the memory for all."""


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """One request as it is remembered."""

    id: str
    """The request's own, as its answer names it."""
    at: float
    """Unix seconds."""
    tokens: bytes = field(repr=False)
    """The prompt's token ids, four bytes each."""
    outline: RequestOutline

    @property
    def token_ids(self) -> Sequence[int]:
        """The prompt's token ids."""
        return array("I", self.tokens)

    @property
    def size(self) -> int:
        """The memory that it takes, about."""
        return len(self.tokens) + self.outline.bytes_kept + _ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class NearestRequest:
    """The kept request that begins as a prompt does for the most tokens."""

    request: KeptRequest
    common: int
    """Tokens of the common beginning."""


def packed(token_ids: Iterable[int]) -> bytes:
    """Return token ids as the bytes that are kept and compared. Their order as bytes is no order of numbers."""
    return array("I", token_ids).tobytes()


class _Sent:
    """The requests of one scope."""

    def __init__(self) -> None:
        self.by_tokens: list[bytes] = []
        """Sorted."""
        self.kept: OrderedDict[bytes, KeptRequest] = OrderedDict()
        """By their tokens, the oldest first."""
        self.size = 0


class PreviousRequests:
    """The requests of all scopes; safe in any thread."""

    def __init__(
        self, *, ttl_s: float, max_requests: int, max_memory: int, clock: Callable[[], float] = time.time
    ) -> None:
        """``max_requests`` of each scope; ``max_memory``: bytes for all, of which a scope may have a fourth.

        Example: ``PreviousRequests(ttl_s=3600, max_requests=32, max_memory=32 * 2**20)``
        """
        assert array("I").itemsize == _TOKEN_BYTES, sys.byteorder
        self._ttl_s, self._max_requests, self._max_memory, self._clock = (
            ttl_s,
            max_requests,
            max_memory,
            clock,
        )
        self._scopes: dict[str, _Sent] = {}
        self._ages: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """All requests, the oldest first."""
        self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that all requests take, about."""
        return self._size

    def __len__(self) -> int:
        return len(self._ages)

    def add(self, scope: str, id: str, token_ids: Iterable[int], outline: RequestOutline) -> None:
        """Keep a request in the place of the one that it repeats or continues; older ones make room.

        One larger than a scope's share of the memory is not kept.
        Example: ``previous.add(caller.cache_scope, "chatcmpl-1", prompt.token_ids, outline)``
        """
        request = KeptRequest(id, self._clock(), packed(token_ids), outline)
        if request.size > self._max_memory // SHARE:
            return
        with self._lock:
            self._expire()
            sent = self._scopes.get(scope) or _Sent()
            for tokens in [request.tokens, *self._continued(sent, request.tokens)]:
                self._drop(scope, sent, tokens)
            self._scopes[scope] = sent  # dropping its last request has taken it out
            insort(sent.by_tokens, request.tokens)
            sent.kept[request.tokens] = request
            self._ages[scope, request.tokens] = None
            sent.size += request.size
            self._size += request.size
            while len(sent.kept) > self._max_requests or sent.size > self._max_memory // SHARE:
                self._drop(scope, sent, next(iter(sent.kept)))
            while self._size > self._max_memory:
                self._drop_oldest()

    def nearest(self, scope: str, tokens: bytes, *, other: bool = False) -> NearestRequest | None:
        """Return the request of ``scope`` with the longest common beginning, the newest of equal ones.

        ``tokens``: from :func:`packed`. ``other``: pass over those that are this prompt, or that it begins.
        Example: ``previous.nearest(caller.cache_scope, packed(prompt.token_ids), other=True)``
        """
        with self._lock:
            self._expire()
            sent = self._scopes.get(scope)
            if sent is None:
                return None
            found = [
                near
                for near in self._neighbours(sent, tokens, pass_over=other)
                if not (other and near.common * _TOKEN_BYTES == len(tokens))
            ]
        return max(found, key=lambda near: (near.common, near.request.at), default=None)

    def find(self, scope: str, id: str) -> KeptRequest | None:
        """Return a request of ``scope`` by its id; None where it is not kept, or no longer.

        Example: ``previous.find(caller.cache_scope, "chatcmpl-1")``
        """
        with self._lock:
            self._expire()
            sent = self._scopes.get(scope)
            kept = () if sent is None else sent.kept.values()
            return next((request for request in reversed(kept) if request.id == id), None)

    def nearest_before(self, scope: str, request: KeptRequest) -> NearestRequest | None:
        """Return the request that came before ``request`` and begins as it does for the most tokens, the newest of
        equal ones; None where there is none with a common beginning.

        Example: ``previous.nearest_before(caller.cache_scope, request)``
        """
        with self._lock:
            sent = self._scopes.get(scope)
            kept = () if sent is None else tuple(sent.kept.values())
        earlier = (_near(other, request.tokens) for other in kept if other.at < request.at)
        found = max(earlier, key=lambda near: (near.common, near.request.at), default=None)
        return None if found is None or not found.common else found

    def check(self) -> list[str]:
        """Return every fault of the sums and orders in words."""
        faults: list[str] = []
        with self._lock:
            total = sum(request.size for sent in self._scopes.values() for request in sent.kept.values())
            if total != self._size:
                faults.append(f"{total} bytes are kept, {self._size} are counted")
            for scope, sent in self._scopes.items():
                if sent.by_tokens != sorted(sent.kept):
                    faults.append(f"{scope}: the sorted requests are not those that are kept")
            if set(self._ages) != {(s, t) for s, sent in self._scopes.items() for t in sent.kept}:
                faults.append("the ages are not those of the kept requests")
        return faults

    def _neighbours(self, sent: _Sent, tokens: bytes, *, pass_over: bool) -> Iterator[NearestRequest]:
        at = bisect_left(sent.by_tokens, tokens)
        if at:
            yield _near(sent.kept[sent.by_tokens[at - 1]], tokens)
        for found in sent.by_tokens[at : at + _LOOKED_AT]:
            near = _near(sent.kept[found], tokens)
            yield near
            if not (pass_over and near.common * _TOKEN_BYTES == len(tokens)):
                return

    def _continued(self, sent: _Sent, tokens: bytes) -> list[bytes]:
        """Return the requests that are a beginning of this one: turns of the same conversation, told by it anew."""
        found: list[bytes] = []
        at = bisect_left(sent.by_tokens, tokens)
        while at and tokens.startswith(sent.by_tokens[at - 1]):
            at -= 1
            found.append(sent.by_tokens[at])
        return found

    def _expire(self) -> None:
        until = self._clock() - self._ttl_s
        while self._ages:
            scope, tokens = next(iter(self._ages))
            if self._scopes[scope].kept[tokens].at > until:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        scope, tokens = next(iter(self._ages))
        self._drop(scope, self._scopes[scope], tokens)

    def _drop(self, scope: str, sent: _Sent, tokens: bytes) -> None:
        request = sent.kept.pop(tokens, None)
        if request is None:
            return
        del self._ages[scope, tokens]
        del sent.by_tokens[bisect_left(sent.by_tokens, tokens)]
        sent.size -= request.size
        self._size -= request.size
        if not sent.kept:
            self._scopes.pop(scope, None)


def _near(request: KeptRequest, tokens: bytes) -> NearestRequest:
    return NearestRequest(request, common_prefix(request.tokens, tokens) // _TOKEN_BYTES)
