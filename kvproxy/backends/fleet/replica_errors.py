"""Answers of replicas that are no answers, as errors: the client's own, or the replica's failures. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from kvproxy.backends.fleet.replica_failure import FailureKind, ReplicaFailed
from kvproxy.errors import (
    ContextTooLong,
    InvalidRequest,
    KVProxyError,
    NotReady,
    Overloaded,
    UnsupportedSchema,
    UpstreamError,
)

_MOST_TOLD = 300
_STRUCTURE_WORDS = ("grammar", "structured", "schema", "regex")


def replica_error(
    replica: str, status: int, body: bytes, headers: Mapping[str, str]
) -> ReplicaFailed | InvalidRequest:
    """Return the error of an answer that is none: the request's own for a 400 or 422, else the replica's failure.

    Example: ``raise replica_error("10.0.0.7:8000", response.status, await response.read(), response.headers)``
    """
    message, param = told(body)
    if status in (400, 413, 422):
        return refused_request(message, param)
    kind: FailureKind = "down"
    if status in (401, 403, 404, 405):
        kind = "misconfigured"
    elif status in (429, 503):
        kind = "busy" if status == 429 or "retry-after" in {name.lower() for name in headers} else "down"
    why = f"it answered {status} ({message[:_MOST_TOLD]})"
    if status == 401:
        why += "; set api_key of this replica to the key that it was started with"
    return ReplicaFailed(replica, kind, why, retry_after_s=_seconds(headers), status=status)


def refused_request(message: str, param: str | None) -> InvalidRequest:
    """Return the client's error for a request that a replica refuses. Its own words are told: they are about the
    request.

    Example: ``refused_request("logprobs must be at most 20", "logprobs")``
    """
    if "maximum context length" in message:
        return _context_too_long(message)
    if param in ("structured_outputs", "response_format") or any(
        w in message.lower() for w in _STRUCTURE_WORDS
    ):
        return UnsupportedSchema(f"The model's engine cannot enforce this: {message}", param=param)
    return InvalidRequest(f"The model's engine refuses this request: {message}", param=param)


def client_error(failures: list[ReplicaFailed]) -> KVProxyError:
    """Return what a client gets when the last replica has failed too. Replicas are named in the log, not to clients."""
    if not failures:
        return NotReady("No replica of this model is up; try again shortly.", retry_after_s=5)
    busy = [f for f in failures if f.kind == "busy"]
    if busy and all(f.kind in ("busy", "down") for f in failures):
        waits = [f.retry_after_s for f in busy if f.retry_after_s is not None]
        return Overloaded(
            "All replicas of this model have too much to do; try again shortly.",
            retry_after_s=min(waits, default=2),
        )
    if any(f.kind == "misconfigured" for f in failures):
        return UpstreamError(
            "The model's engine refuses this proxy; its operator finds why in the log.", status=502
        )
    if all(f.kind == "failed-request" for f in failures):
        return UpstreamError(
            "The model's engine failed at this request, and goes on serving others.", status=502
        )
    late = all(f.status == 504 for f in failures)
    number = (
        "One of the model's replicas was"
        if len(failures) == 1
        else f"{len(failures)} of the model's replicas were"
    )
    return UpstreamError(
        f"{number} asked, and none answered{' in time' if late else ''}.",
        status=504 if late else 502,
        retry_after_s=2,
    )


def told(body: bytes) -> tuple[str, str | None]:
    """Return the message and the field of an error body in OpenAI's form, or the beginning of any other."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return body[:_MOST_TOLD].decode("utf-8", "replace").strip() or "without a word", None
    error = found.get("error", found)
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return "without a word", None
    message, param = error.get("message") or error.get("detail"), error.get("param")
    return str(message or "without a word"), param if isinstance(param, str) else None


def _context_too_long(message: str) -> InvalidRequest:
    limit, *rest = [int(n) for n in re.findall(r"\d+", message)] or [0]
    needs = rest[0] if rest else limit + 1
    return ContextTooLong(limit=limit, prompt_tokens=needs, completion_tokens=0, at_least=True)


def _seconds(headers: Mapping[str, str]) -> int | None:
    found = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return min(3600, int(found)) if found.isdigit() else None
