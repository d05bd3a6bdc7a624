"""Each endpoint's own framing."""

from __future__ import annotations

import pytest

from kvproxy.errors import Overloaded, UpstreamError
from kvproxy.wire.upstream_events import UpstreamEvents


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions"])
def test_unnamed_events_end_with_done(endpoint: str) -> None:
    events = UpstreamEvents("completions" if endpoint == "completions" else "chat/completions")
    assert events.event({"a": 1}) == b'data: {"a":1}\n\n'
    assert events.end() == b"data: [DONE]\n\n"
    assert events.error(Overloaded("busy")).startswith(b'data: {"error":{"message":"busy"')


def test_responses() -> None:
    events = UpstreamEvents("responses")
    assert events.event({"type": "response.created", "sequence_number": 0}) == (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
    )
    assert events.end() == b""
    assert events.error(Overloaded("busy")) == (
        b'event: error\ndata: {"type":"error","code":"engine_busy","message":"busy","param":null,'
        b'"sequence_number":1}\n\n'
    )


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "rate_limit_error"), (502, "api_error"), (529, "overloaded_error")]
)
def test_messages(status: int, kind: str) -> None:
    events = UpstreamEvents("messages")
    assert events.event({"type": "ping"}) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert events.end() == b""
    assert events.error(UpstreamError("no", status=status)) == (
        b'event: error\ndata: {"type":"error","error":{"type":"' + kind.encode() + b'","message":"no"}}\n\n'
    )


def test_a_name_cannot_end_its_line() -> None:
    assert UpstreamEvents("messages").event({"type": "a\nb"}) == b'data: {"type":"a\\nb"}\n\n'
