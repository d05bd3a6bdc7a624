from __future__ import annotations

from kvproxy.wire import sse


def test_frames() -> None:
    assert sse.event({"a": "x\ny"}) == b'data: {"a":"x\\ny"}\n\n'
    assert sse.event({"done": 1}, "progress") == b'event: progress\ndata: {"done":1}\n\n'


def test_a_comment_cannot_become_an_event() -> None:
    assert sse.comment("a\n\ndata: x\r\ry") == b": a  data: x  y\n\n"
    assert sse.KEEPALIVE == sse.comment("keepalive")
