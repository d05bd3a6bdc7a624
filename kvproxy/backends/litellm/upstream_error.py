"""Translation of an upstream's failure to the proxy's errors, from the status and body that it sent.

litellm picks its exception classes partly by the text of the message (any body of type
``invalid_request_error`` is a BadRequestError, a 401 included), and its messages may carry tracebacks. So
neither classes nor ``str(e)`` are read here: the status, and the body of the first exception in the chain that
still has it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx

from kvproxy.backends.litellm.answer_limits import AnswerOverLimit
from kvproxy.errors import UpstreamError

_UNREACHABLE = "The upstream could not be reached. Check its address in the configuration, and that it runs."
_BROKEN = "The upstream's stream broke off."
_RESTING = "All deployments of the upstream failed lately and are left alone for a moment."
_LONGEST_WAIT_S = 86_400
_SILENT = "The upstream did not answer in time."


def upstream_error(error: BaseException, *, midway: bool = False) -> UpstreamError:
    """Return the error to show for an exception of a call through litellm; ``midway``: after its first chunk."""
    chain = tuple(_chain(error))
    if (over := next((x for x in chain if isinstance(x, AnswerOverLimit)), None)) is not None:
        return UpstreamError(over.told, status=502)
    status = next((s for s in map(_status, chain) if s is not None), None)
    body = next((b for b in map(_body, chain) if b is not None), None)
    answered = body is not None or any(_answered(x) for x in chain)
    retry_after = next((s for s in map(_retry_after, chain) if s is not None), None)
    if not answered:
        transport = _transport_status(chain)
        if transport == 504:
            return UpstreamError(_SILENT, status=504)
        if transport == 502 or midway:
            return UpstreamError(_BROKEN if midway else _UNREACHABLE, status=502)
        if any(hasattr(x, "cooldown_time") for x in chain):
            return UpstreamError(_RESTING, status=503, retry_after_s=retry_after or 1)
        if status is None or status >= 500:
            return UpstreamError("The upstream's answer could not be used.", status=502)
    status = status if status is not None and 400 <= status < 600 else 502
    message = _message(body, chain, status, answered)
    return UpstreamError(message, status=status, error=body, retry_after_s=retry_after)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the exception and all it came from, outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [getattr(current, "original_exception", None), current.__cause__, current.__context__]


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) else None


def _body(error: BaseException) -> dict[str, Any] | None:
    """Return the upstream's error object, where it had one with a message: kept whole, or as the text it came in."""
    candidates = [getattr(error, "body", None), getattr(error, "message", None)]
    if isinstance(error, httpx.HTTPStatusError) and error.response.is_closed:
        candidates.append(_text(error.response))
    for candidate in candidates:
        body = _parsed(candidate)
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            body = body["error"]
        if isinstance(body, dict) and isinstance(body.get("message"), str):
            return {str(k): v for k, v in body.items()}
    return None


def _text(response: httpx.Response) -> str | None:
    try:
        return response.text
    except httpx.StreamError:
        return None


def _parsed(value: object) -> object:
    if isinstance(value, str | bytes) and value[:1] in ("{", b"{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _answered(error: BaseException) -> bool:
    """Whether a response came over the wire; litellm makes up ones without a stream for errors of its own."""
    return isinstance(error, httpx.HTTPStatusError)


def _transport_status(chain: tuple[BaseException, ...]) -> int | None:
    """Return 504 or 502 when the connection failed, else None; litellm gives its own timeout the status 408."""
    if any(isinstance(x, httpx.TimeoutException | TimeoutError) or _status(x) == 408 for x in chain):
        return 504
    return 502 if any(isinstance(x, httpx.TransportError | OSError) for x in chain) else None


def _retry_after(error: BaseException) -> int | None:
    """Whole seconds, rounded up. A date is not understood: a second's wait is then as good as any."""
    if isinstance(cooldown := getattr(error, "cooldown_time", None), int | float):
        return min(max(1, math.ceil(cooldown)), _LONGEST_WAIT_S)
    headers = getattr(getattr(error, "response", None), "headers", None)
    value = headers.get("retry-after") if headers is not None else None
    try:
        return None if value is None else min(max(0, math.ceil(float(value))), _LONGEST_WAIT_S)
    except (ValueError, OverflowError):
        return 1


def _message(
    body: dict[str, Any] | None, chain: tuple[BaseException, ...], status: int, answered: bool
) -> str:
    if body is not None:
        return str(body["message"])
    # litellm's own refusals (a parameter that the provider lacks) say what to change in their first line.
    text = str(getattr(chain[0], "message", "")).strip().splitlines()
    if not answered and status < 500 and text and "Traceback" not in text[0]:
        return text[0].split(": ", 1)[-1]
    return f"The upstream answered with status {status}."
