"""Places for sequences, running or waiting, shared between tenants and counted when a request arrives.

All places are open to all tenants, so a tenant that is alone may take every one. When none is left, a tenant that has
less than its share (all places, divided by the tenants that are present) gets one all the same, beyond the limit, and
only tenants that have their share already are refused. Two ways were rejected: to end a sequence that waits, since
its client would have waited in vain and may be in the middle of a stream; and to keep places free for tenants that may
arrive, since they would stay unused. The excess is bounded: behind the first tenant, which may have all places, the
second has at most a half, the third a third: ``1 + 1/2 + .. + 1/k`` times the limit for ``k`` tenants.
"""

from __future__ import annotations

import threading
from types import TracebackType

from kvproxy.errors import InvalidRequest, Overloaded


class Places:
    """The engine's places and the tenants that hold them. Any thread."""

    def __init__(self, total: int) -> None:
        """``total``: running and waiting sequences together."""
        self.total = total
        self._lock = threading.Lock()
        self._taken = 0
        self._by_tenant: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether a tenant that has its share would be refused."""
        return self._taken >= self.total

    def claim(self, tenant: str | None, count: int, *, again: bool = False) -> Claim:
        """Claim ``count`` places for the sequences of one request; they are taken together with the first of them.

        ``tenant``: None for background work, which has no share. ``again``: the places of sequences that have ended
        stay the request's for as long as the claim is open. Raises InvalidRequest for more places than there are.
        Example: ``with places.claim("team-a", 4) as claim: claim.enter()``
        """
        if count > self.total:
            raise InvalidRequest(
                f"Invalid 'n': this request needs {count} places at once, and the engine has {self.total} "
                "(engine.max_running and engine.max_waiting). Ask for fewer answers at a time.",
                param="n",
            )
        return Claim(self, tenant, count, again)

    def take(self, tenant: str | None, count: int) -> None:
        """Take ``count`` places, or none. Raises Overloaded."""
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
        """Give ``count`` places back."""
        with self._lock:
            self._taken -= count
            if tenant is None:
                return
            self._by_tenant[tenant] -= count
            if not self._by_tenant[tenant]:
                del self._by_tenant[tenant]


class Claim:
    """The places of one request, which is admitted or refused as a whole. Any thread.

    Close it when the request sends no more sequences; those in the engine then keep their places until they end.
    """

    def __init__(self, places: Places, tenant: str | None, count: int, again: bool) -> None:
        self._places, self._tenant, self._count, self._again = places, tenant, count, again
        self._lock = threading.Lock()
        self._left: int | None = None
        """Places that are taken and free for further sequences; None before the first sequence."""
        self._open = True

    def enter(self) -> None:
        """Give a place to a sequence. Raises Overloaded for the first one; a later one has its place, unless there
        are more of them than were claimed."""
        with self._lock:
            if self._left is None:
                self._places.take(self._tenant, self._count)
                self._left = self._count
            if self._left == 0:
                self._places.take(self._tenant, 1)
            else:
                self._left -= 1

    def leave(self, *, failed: bool) -> None:
        """Give back the place of a sequence that has ended. A failed one's place stays the request's until the claim
        is closed: a lost hit is submitted again as a miss."""
        with self._lock:
            if self._open and self._left is not None and (failed or self._again):
                self._left += 1
            else:
                self._places.leave(self._tenant, 1)

    def close(self) -> None:
        """Give back the places without a sequence. Idempotent."""
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
