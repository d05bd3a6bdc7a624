"""`RequestFailed`: the one error of the Python client, made of the proxy's error body or of a broken connection."""

from __future__ import annotations

from typing import Any

import httpx

from kvproxy import errors
from kvproxy.errors import KVProxyError


class RequestFailed(KVProxyError):
    """A call of `Client` failed: the proxy refused it, or did not answer. Status: the proxy's own, or 502.

    ``message`` is the proxy's own where it sent one. Example::

        try:
            client.delete("handbook")
        except RequestFailed as e:
            if e.kind is not DocumentNotFound:
                raise
    """

    def __init__(
        self,
        message: str,
        *,
        answered: int | None = None,
        error_code: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, param=param)
        self.answered = answered
        """The HTTP status that the proxy answered with; None when no answer came, or none that a kvproxy sends."""
        self.error_code = error_code
        """The ``code`` of the error body, such as ``document_not_found``; None where it had none."""
        self._retry_after_s = retry_after_s

    @property
    def kind(self) -> type[KVProxyError] | None:
        """The class of `kvproxy.errors` with this code, such as `DocumentNotFound`; None for an unknown code."""
        return _by_code(KVProxyError).get(self.error_code or "")

    @property
    def http_status(self) -> int:
        """The status that the proxy answered with; 502 where there was no valid answer."""
        return 502 if self.answered is None else self.answered

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of the answer's ``Retry-After``; None where it had none."""
        return self._retry_after_s


def unreachable(root: str, error: httpx.HTTPError) -> RequestFailed:
    """Make the error for a proxy at ``root`` that did not answer, or not to the end."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return RequestFailed(f"no proxy answers at {root}; start one with `kvproxy serve`, or give --url")
    return RequestFailed(f"the connection to {root} broke: {error}")


def refusal(response: httpx.Response) -> RequestFailed:
    """Make the error of a response that was read, in the proxy's own words where it sent some."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        body = None
    return failure(body, response, f"the proxy answered {response.status_code} {response.reason_phrase}")


def failure(body: Any, response: httpx.Response, default: str) -> RequestFailed:
    """Make the error of an error body: of a response, or of an event in one whose status was good.

    ``default`` is the message of a body without one. Example: ``failure({}, response, "the proxy failed")``.
    """
    error = body.get("error") if isinstance(body, dict) else None
    fields = error if isinstance(error, dict) else {}
    code, param, retry = fields.get("code"), fields.get("param"), response.headers.get("retry-after", "")
    return RequestFailed(
        error_message(body) or default,
        answered=response.status_code if response.is_error else None,
        error_code=code if isinstance(code, str) else None,
        param=param if isinstance(param, str) else None,
        retry_after_s=int(retry) if retry.isascii() and retry.isdigit() and len(retry) < 9 else None,
    )


def error_message(body: Any) -> str | None:
    """Return the message of an error body; None where it has none."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else None


def _by_code(root: type[KVProxyError]) -> dict[str, type[KVProxyError]]:
    """Return the classes of `kvproxy.errors` by code; of two with one code, the more general one."""
    found: dict[str, type[KVProxyError]] = {}
    for child in root.__subclasses__():
        found |= _by_code(child)
    shipped = root.__module__.startswith(f"{errors.__name__}.")
    return found | ({root.code: root} if shipped and root.code is not None else {})
