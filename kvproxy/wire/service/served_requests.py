"""``/kv/v1/requests`` as it stands on the wire: requests that have ended. Never a prompt's text."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic reads no other on Python 3.11

Outcome = Literal["hit", "miss", "bypass", "refused", "left"]
"""``bypass``: another model answered. ``refused``: an error was the answer. ``left``: the client closed the connection
first."""


class KvRequest(TypedDict):
    """One request that has ended. Counts and ``ttft_s`` are null where the local model was not used."""

    object: Literal["kv_request"]
    id: str
    at: float
    """Unix seconds of its arrival."""
    client: str
    """The client's name and version, from its own headers."""
    endpoint: str
    """The path of the operation; ``(not served)`` where the request's is none of this proxy's."""
    model: str | None
    status: int
    outcome: Outcome
    reason: str | None
    """The reason of a miss, or the error's code."""
    cause: str | None
    """The cause of a miss, from the closed list of docs/misses.md, or the reason that a fleet's replica had less of a
    hit's document than could be; null where it was not found in time, or all was there."""
    document: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    """Of a fleet null too where the client left before the replica told it."""
    completion_tokens: int | None
    ttft_s: float | None
    total_s: float
    replica: NotRequired[str]
    """The replica of a fleet that answered; for callers with the scope `admin` alone."""
    rounded_tokens: NotRequired[int]
    """Tokens of the document that a fleet's replica computed since they fill no block."""
    currency: NotRequired[str]
    """Here and below: where a tariff prices the model, and the request was charged."""
    cost: NotRequired[str]
    """Units of the currency, a decimal number."""
    saved: NotRequired[str]
    """Below the price of the same request without kept pages."""


class KvRequestList(TypedDict):
    """The caller's newest ended requests, oldest first."""

    object: Literal["list"]
    data: list[KvRequest]


class KvRequestsMissed(TypedDict):
    """The number of requests that a slow watcher missed."""

    missed: int


WatchEvent = KvRequest | KvRequestsMissed
