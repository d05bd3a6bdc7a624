"""W3C trace context: sound headers go on, others are as if there were none."""

from __future__ import annotations

import pytest

from kvproxy.telemetry.tracing.trace_headers import context_headers, incoming_context

SOUND = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_sound_header_goes_on_with_its_state() -> None:
    parent = incoming_context({"traceparent": SOUND, "tracestate": "rojo=00f067aa0ba902b7"})
    assert parent is not None
    assert context_headers(parent) == {"traceparent": SOUND, "tracestate": "rojo=00f067aa0ba902b7"}


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-" + "g" * 32 + "-b7ad6b7169203331-01",
    ],
)
def test_others_are_ignored(sent: str) -> None:
    assert incoming_context({"traceparent": sent}) is None


def test_without_a_header_there_is_no_trace() -> None:
    assert incoming_context({"tracestate": "rojo=1"}) is None
