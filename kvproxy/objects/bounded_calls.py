"""`BoundedCalls`: calls to a store with bounds: a few at once, retried some times, refused while it keeps failing."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from kvproxy.objects.circuit_breaker import CircuitBreaker
from kvproxy.objects.object_address import ObjectAddress
from kvproxy.objects.object_counts import ObjectCounts
from kvproxy.objects.object_results import ObjectsUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class StoreErrors:
    """The errors that a driver raises, by what they say about the store."""

    answers: tuple[type[Exception], ...]
    """It works, and says that the object is there, is not there, or is in another state."""
    refusals: tuple[type[Exception], ...]
    """It works, and would say the same to the next attempt."""
    failures: tuple[type[Exception], ...]
    """It may not work."""


class BoundedCalls:
    """Makes calls within an address's bounds. Any thread.

    Example:
        ``calls = BoundedCalls(address, errors); calls.make("read", lambda: driver.get(name))``
    """

    def __init__(self, address: ObjectAddress, errors: StoreErrors) -> None:
        """Start with a closed breaker and no counts."""
        self.breaker = CircuitBreaker()
        self.counts = ObjectCounts()
        self._address, self._errors = address, errors
        self._places = threading.BoundedSemaphore(address.most_at_once)

    def make(self, operation: str, call: Callable[[], T], attempts: int | None = None) -> T:
        """Call until it succeeds, or raises an answer, which is raised here too. Raises ObjectsUnavailable.

        Example: ``calls.make("list", lambda: next(listing, None), attempts=1)``
        """
        began = time.monotonic()
        most = attempts or self._address.attempts
        for attempt in range(1, most + 1):
            self._check_breaker(operation)
            try:
                with self._place():
                    result = call()
            except self._errors.answers:
                self.breaker.succeeded()
                raise
            except self._errors.refusals as e:
                # Not the breaker's: who may read and not write goes on reading.
                self.counts.failed(operation)
                raise self._unavailable("refuses", e, 60) from e
            except self._errors.failures as e:
                self._failed(operation, e)
                if attempt == most or time.monotonic() - began >= self._address.timeout_s:
                    raise self._unavailable("failed", e, 5) from e
                # Full jitter: proxies that lost their store together do not come back together.
                time.sleep(random.uniform(0, _FIRST_PAUSE_S * 4 ** (attempt - 1)))
            else:
                self.breaker.succeeded()
                return result
        raise AssertionError("a call is made at least once")

    def _check_breaker(self, operation: str) -> None:
        if not self.breaker.allows():
            self.counts.failed(operation)
            raise ObjectsUnavailable(
                "the object store failed repeatedly and is left alone for a moment",
                f"{self._address.url} failed repeatedly and is left alone for a moment",
                retry_after_s=max(1, round(self.breaker.rest_s)),
            )

    def _failed(self, operation: str, error: Exception) -> None:
        self.counts.failed(operation)
        if self.breaker.failed():
            logger.warning(
                "the object store %s keeps failing and is left alone for a while; pages come from local files "
                "or are computed meanwhile: %s",
                self._address.url,
                first_line(error),
            )

    def _unavailable(self, how: str, error: Exception, retry_after_s: int) -> ObjectsUnavailable:
        detail = f"{self._address.url} {how}: {first_line(error)}"
        return ObjectsUnavailable(f"the object store {how}", detail, retry_after_s=retry_after_s)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=2 * self._address.timeout_s):
            raise TimeoutError(f"{self._address.most_at_once} other requests to it take all places")
        try:
            yield
        finally:
            self._places.release()


def first_line(error: BaseException) -> str:
    """Return the first line of an error, cut: those of obstore go on for pages."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:300]
