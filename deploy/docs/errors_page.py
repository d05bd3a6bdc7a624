"""Generator of docs/reference/errors.md: every error with its status, types, code, and whether to try again."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import kvproxy.errors as errors
from deploy.docs.markdown_text import cell
from kvproxy.errors import (
    Gone,
    HitLost,
    KVProxyError,
    NotFound,
    Retryable,
    SetupError,
    TimedOut,
    UpstreamError,
)
from kvproxy.wire.anthropic.errors import anthropic_status, error_type

_HEAD = """# Errors

Every error that a client can see. The body is OpenAI's, `{"error": {"message", "type", "param", "code"}}`, or
Anthropic's on its paths, `{"type": "error", "error": {"type", "message", "details": {"error_code"}}, "request_id"}`,
whose `error_code` is the code below. `message` says what happened and what to do.

Where a request can be sent again there is a `Retry-After` header, in seconds. Every other refusal below 500 has
`x-should-retry: false`, since clients repeat a 409 by themselves otherwise. Two statuses differ in Anthropic's
dialect: 503 is 529 `overloaded_error` there, which its clients repeat.

After the first byte of a stream there is no status any more: the stream ends with an error event of the same body.

| code | status | type | send it again? | is |
| --- | ---: | --- | --- | --- |
"""

_TAIL = """
The names are the classes of `kvproxy/errors/`; the Python client's `RequestFailed.kind` has them too. A failure on
the hit path (`HitLost`) is never shown: the request becomes a miss. A command line's failure at the start
(`SetupError`) is one sentence and the exit status 2.

This page is made from the errors themselves by `python -m deploy.docs.write_pages`.
"""

_NEVER_SENT = (HitLost, SetupError)


def errors_page() -> str:
    """Return the Markdown of docs/reference/errors.md."""
    return _HEAD + "".join(_row(kind) for kind in shown_errors()) + _TAIL


def shown_errors() -> Iterator[type[KVProxyError]]:
    """Yield every error class that can reach a client, by status, then by name.

    Example: ``DocumentNotFound in shown_errors()``
    """
    kinds = [getattr(errors, name) for name in errors.__all__]
    classes = [k for k in kinds if isinstance(k, type) and issubclass(k, KVProxyError)]
    bases = (KVProxyError, Retryable, NotFound, Gone, *_NEVER_SENT)
    yield from sorted((k for k in classes if k not in bases), key=lambda k: (_status(k), k.__name__))


def _row(kind: type[KVProxyError]) -> str:
    if kind is UpstreamError:
        facts = ["the upstream's", "its own", "the upstream's, or `upstream_error`"]
    else:
        facts = [f"`{kind.code}`" if kind.code else "none", str(int(kind.status)), _types(kind)]
    cells = [*facts, _advice(kind), f"`{kind.__name__}`: {_about(kind)}"]
    return "| " + " | ".join(cells) + " |\n"


def _types(kind: type[KVProxyError]) -> str:
    """Return OpenAI's type of an error, and Anthropic's where it has another one or another status."""
    status = int(kind.status)
    theirs, other = error_type(status), anthropic_status(status)
    if (theirs, other) == (kind.type, status):
        return f"`{kind.type}`"
    return f"`{kind.type}`; Anthropic's `{theirs}`" + (f", {other}" if other != status else "")


def _advice(kind: type[KVProxyError]) -> str:
    if kind is UpstreamError:
        return "where the upstream says when"
    if issubclass(kind, Retryable):
        return "yes, after `Retry-After`"
    if kind.retry_after_s is not KVProxyError.retry_after_s:
        return "after `Retry-After`, where it has one"
    if issubclass(kind, TimedOut):
        return "no: it would take as long"
    return "no" if kind.status < HTTPStatus.INTERNAL_SERVER_ERROR else "once"


def _about(kind: type[KVProxyError]) -> str:
    told = cell((kind.__doc__ or "").partition("\n\n")[0].replace("``", "`"))
    return told.replace(f" Status {int(kind.status)}.", "")


def _status(kind: type[KVProxyError]) -> int:
    return 600 if kind is UpstreamError else int(kind.status)
