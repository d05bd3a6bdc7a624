"""`reply_headers`: the headers of a served model's answer, as far as they are known when they are written."""

from __future__ import annotations

from kvproxy.pipeline import Request
from kvproxy.reply import Reply
from kvproxy.server.answers.changed_headers import changed_headers
from kvproxy.wire.answers.cache_status import cache_status, server_timing
from kvproxy.wire.answers.retained_header import retained_header


def reply_headers(reply: Reply, asked: Request) -> dict[str, str]:
    """Return ``Cache-Status``, ``Server-Timing`` with the times up to now, and where they say something
    ``x-kvproxy-left-out``, ``x-kvproxy-retained`` and ``x-kvproxy-placement``."""
    moved = reply.prompt.moved
    return {
        "Cache-Status": status_of(reply),
        "Server-Timing": server_timing(reply.timings.report(reply.started)),
        **changed_headers(asked, reply.started, moved),
        **retained_header(reply.started.retained),
    }


def status_of(reply: Reply) -> str:
    """Return ``Cache-Status`` as it is known now: a fleet's number of cached tokens is, once its answer has ended."""
    return cache_status(reply.decision, reply.confirmed, exact=reply.exact, moved=reply.prompt.moved)
