"""`ReplicaFailed`: a replica that cannot answer now, as the fleet sees it. No client gets it: another replica is asked,
or it becomes an error of ``kvproxy/errors``."""

from __future__ import annotations

from typing import Literal

FailureKind = Literal["down", "busy", "misconfigured", "broke-off", "failed-request"]
"""``down``: refused, silent, or failing; ``busy``: it has too much to do; ``misconfigured``: its key or model's name is
wrong; ``broke-off``: its answer ended in the middle; ``failed-request``: it failed at one request, said so, and goes on
serving others."""


class ReplicaFailed(Exception):
    """One attempt at one replica has failed.

    Example: ``raise ReplicaFailed("10.0.0.7:8000", "down", "it refused the connection")``
    """

    def __init__(
        self,
        replica: str,
        kind: FailureKind,
        why: str,
        *,
        retry_after_s: int | None = None,
        status: int = 502,
        unreachable: bool = False,
    ) -> None:
        """``why``: a clause for the log; ``retry_after_s``: the seconds that the replica asked to wait; ``status``:
        the HTTP status of the client's error, where this ends the request; ``unreachable``: nothing listens there."""
        super().__init__(f"{replica}: {why}")
        self.replica = replica
        self.kind: FailureKind = kind
        self.why = why
        self.retry_after_s = retry_after_s
        self.status = status
        self.unreachable = unreachable
