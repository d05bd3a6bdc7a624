"""`KVProxyError`, the base of every error with a meaning outside this process, and `Retryable`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

MOST_TOLD = 1000
"""Characters of a message: it may quote a client or an upstream, and goes into the log."""


def cut(text: str, most: int) -> str:
    """Cut ``text`` to its first ``most`` characters, with a mark where any were left out."""
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"


class KVProxyError(Exception):
    """Base of all errors with a meaning outside this process.

    ``message`` states the fault and the remedy; ``param`` names the offending field, as OpenAI does. Both are cut.
    """

    status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        self.message = cut(message, MOST_TOLD)
        self.param = None if param is None else cut(param, 256)
        super().__init__(self.message)

    @property
    def http_status(self) -> int:
        """The status that the answer has."""
        return int(self.status)

    @property
    def retry_after_s(self) -> int | None:
        """Seconds for ``Retry-After``; None when trying again will not help."""
        return None

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error body; all four keys are required by its spec."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class Retryable(KVProxyError):
    """The base of the errors that carry ``Retry-After``: trying again later may succeed. Status 429 or 503."""

    def __init__(self, message: str, *, retry_after_s: int = 1, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self._retry_after_s = retry_after_s

    @property
    def retry_after_s(self) -> int | None:
        """Seconds for ``Retry-After``."""
        return self._retry_after_s
