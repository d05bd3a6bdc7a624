from __future__ import annotations

from kvproxy.wire.answers import event_bytes


def test_frames() -> None:
    assert event_bytes.event({"a": "x\ny"}) == b'data: {"a":"x\\ny"}\n\n'
    assert event_bytes.event({"done": 1}, "progress") == b'event: progress\ndata: {"done":1}\n\n'


def test_a_comment_cannot_become_an_event() -> None:
    assert event_bytes.comment("a\n\ndata: x\r\ry") == b": a  data: x  y\n\n"
    assert event_bytes.KEEPALIVE == event_bytes.comment("keepalive")
