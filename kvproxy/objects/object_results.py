"""Results of an object store's calls, and `ObjectsUnavailable`."""

from __future__ import annotations

from dataclasses import dataclass

from kvproxy.errors import Unavailable


class ObjectsUnavailable(Unavailable):
    """The object store does not answer, or refuses: nothing is known of the object. Status 503.

    ``detail`` is for logs: it names the store, and the client is told neither that nor what it said.
    """

    def __init__(self, message: str, detail: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ObjectFound:
    """An object's bytes and the tag of this state of it."""

    data: bytes | memoryview
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectAbsent:
    """No object has this name."""


@dataclass(frozen=True, slots=True)
class ObjectTooLarge:
    """The object has more bytes than the caller takes; none was read."""

    size: int


@dataclass(frozen=True, slots=True)
class Swapped:
    """The mutable object is in its new state."""

    etag: str


@dataclass(frozen=True, slots=True)
class SwapConflict:
    """The mutable object was in another state than was expected; nothing has changed."""
