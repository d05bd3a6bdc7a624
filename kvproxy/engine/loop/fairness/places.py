"""Places for sequences, running or waiting, and who gets one when there are few: counted when a request comes.

All places are there for whoever comes, so a tenant that is alone may take every one. Where none is left, a tenant that
has less than its share (all places, divided by the tenants that are here) gets one all the same, beyond the limit, and
only those that have their share already are refused. Two other ways were rejected: to end a sequence that waits, since
its client has waited for nothing and may be in the middle of a stream; and to keep places free for whoever may come,
since they would be of no use to anybody. What goes beyond the limit is bounded: behind the first tenant, which may have
them all, the second has at most a half, the third a third: ``1 + 1/2 + .. + 1/k`` times the limit for ``k`` tenants.
"""

from __future__ import annotations

import threading
from types import TracebackType

from kvproxy.errors import InvalidRequest, Overloaded


class Places:
    """Any thread."""

    def __init__(self, total: int) -> None:
        """``total``: of sequences that run and that wait, together."""
        self.total = total
        self._lock = threading.Lock()
        self._taken = 0
        self._by_tenant: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether a tenant that has its share would be refused."""
        return self._taken >= self.total

    def claim(self, tenant: str | None, count: int, *, again: bool = False) -> Claim:
        """Places for the sequences of one request, taken as a whole with the first of them. ``tenant``: None for work
        that is nobody's, which has no share. ``again``: places of sequences that have ended are the request's for
        as long as the claim is open.

        Raises InvalidRequest for more than there are.
        """
        if count > self.total:
            raise InvalidRequest(
                f"Invalid 'n': this request needs {count} places at once, and the engine has {self.total} "
                "(engine.max_running and engine.max_waiting). Ask for fewer answers at a time.",
                param="n",
            )
        return Claim(self, tenant, count, again)

    def take(self, tenant: str | None, count: int) -> None:
        """All or none. Raises Overloaded."""
        with self._lock:
            if self._taken + count > self.total and not self._within_share(tenant, count):
                needs = "" if count == 1 else f", and this one needs {count} places"
                raise Overloaded(
                    f"{self._taken} requests are running or waiting{needs}; try again shortly",
                    retry_after_s=2,
                )
            self._taken += count
            if tenant is not None:
                self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + count

    def _within_share(self, tenant: str | None, count: int) -> bool:
        if tenant is None:
            return False
        share = self.total // len(self._by_tenant.keys() | {tenant})
        return self._by_tenant.get(tenant, 0) + count <= max(1, share)

    def leave(self, tenant: str | None, count: int) -> None:
        with self._lock:
            self._taken -= count
            if tenant is None:
                return
            self._by_tenant[tenant] -= count
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]


class Claim:
    """Of one request, which is admitted or refused as a whole. Any thread; close it when no more sequences of the
    request will come. Those that are in the engine then keep their places until they end."""

    def __init__(self, places: Places, tenant: str | None, count: int, again: bool) -> None:
        self._places, self._tenant, self._count, self._again = places, tenant, count, again
        self._lock = threading.Lock()
        self._left: int | None = None
        """None before the first sequence."""
        self._open = True

    def enter(self) -> None:
        """A sequence comes. Raises Overloaded, for the first; a later one has its place, unless there are more of
        them than were claimed."""
        with self._lock:
            if self._left is None:
                self._places.take(self._tenant, self._count)
                self._left = self._count
            if self._left == 0:
                self._places.take(self._tenant, 1)
            else:
                self._left -= 1

    def leave(self, *, failed: bool) -> None:
        """A sequence has ended. The place of one that failed is the request's until the claim is closed: a hit that
        was lost comes again as a miss."""
        with self._lock:
            if self._open and self._left is not None and (failed or self._again):
                self._left += 1
            else:
                self._places.leave(self._tenant, 1)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            left, self._open = self._left, False
            self._left = 0
            if left:
                self._places.leave(self._tenant, left)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
