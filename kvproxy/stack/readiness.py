"""`readiness`: whether a process serves anything now, from what its models say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Reason = Callable[[], str | None]
"""Returns None when a request would be served now, else the reason why not."""


class Queued(Protocol):
    """A backend with a queue of a bounded length."""

    def ready(self) -> str | None:
        """Return None when a request would be served now, else the reason why not."""

    @property
    def full(self) -> bool:
        """True where the queue takes no further request."""


def readiness(reasons: Mapping[str, Reason]) -> Reason:
    """Return the reason of a process: None as long as any of its models is served, else the reasons of all, which are
    given by the models' names."""

    def ready() -> str | None:
        told = {name: reason() for name, reason in reasons.items()}
        if None in told.values():
            return None
        if len(told) == 1:
            return next(iter(told.values()))
        return "; ".join(f"{name}: {reason}" for name, reason in told.items())

    return ready


def engine_readiness(local: Queued, several_tenants: Callable[[], bool]) -> Reason:
    """Return the reason of the local engine. A full queue counts only where there is one tenant: of several, one that
    fills its own share leaves the others theirs, and a load balancer must not send them away."""

    def ready() -> str | None:
        return local.ready() or ("its queue is full" if local.full and not several_tenants() else None)

    return ready
