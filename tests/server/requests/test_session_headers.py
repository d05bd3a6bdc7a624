from __future__ import annotations

import pytest

from kvproxy.core import Caller
from kvproxy.core.requests import CacheHints
from kvproxy.core.session_hints import Retained, RetainHint
from kvproxy.errors import InvalidRequest
from kvproxy.server.requests.session_headers import RETAIN, SESSION, session_hint
from kvproxy.wire.answers.retained_header import RETAINED, retained_header
from tests.server.doubles import client_of, make_proxy

ALICE = Caller("alice", "tenant:a")
CHAT = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}]}


def test_the_headers_are_a_wish() -> None:
    assert session_hint({}) is None
    assert session_hint({SESSION: "chat-7"}) is None
    assert session_hint({RETAIN: " 300 "}) == RetainHint(300.0)
    assert session_hint({RETAIN: "0", SESSION: "chat-7"}) == RetainHint(0.0, "chat-7")


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "soon", "9" * 8, "٣"])
def test_anything_else_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidRequest, match=RETAIN):
        session_hint({RETAIN: value})


@pytest.mark.parametrize("name", ["a b", "ä", "x" * 257, "a\x00b"])
def test_a_name_is_short_and_printable(name: str) -> None:
    with pytest.raises(InvalidRequest, match=SESSION):
        session_hint({RETAIN: "5", SESSION: name})


def test_headers_count_before_the_body_and_name_their_session() -> None:
    hints = CacheHints(key="k", ttl_s=300)
    assert ALICE.session_hint(CacheHints(key="k")) is None
    assert ALICE.session_hint(hints) == RetainHint(300.0, "k")
    asked = Caller("alice", "tenant:a", hint=RetainHint(5.0))
    assert asked.session_hint(hints) == RetainHint(5.0, "k")
    named = Caller("alice", "tenant:a", hint=RetainHint(5.0, "chat-7"))
    assert named.session_hint(hints) == RetainHint(5.0, "chat-7")


def test_the_answer_is_a_structured_field() -> None:
    assert retained_header(None) == {}
    assert retained_header(Retained(300.0, 14, 12)) == {RETAINED: "300; asked=14; pages=12"}
    assert retained_header(Retained(0.0, 0, 0, released=12)) == {RETAINED: "0; released=12"}


async def test_the_wish_reaches_the_engine_and_its_answer_the_client() -> None:
    proxy = make_proxy()
    async with client_of(proxy) as http:
        for stream in (False, True):
            response = await http.post(
                "/v1/chat/completions",
                json={**CHAT, "stream": stream},
                headers={RETAIN: "60", SESSION: "chat-7"},
            )
            assert response.status == 200 and response.headers[RETAINED] == "60; asked=1; pages=1"
            await response.read()
        assert {g.hint for g in proxy.backend.generations} == {RetainHint(60.0, "chat-7")}
        plain = await http.post("/v1/chat/completions", json=CHAT)
        assert RETAINED not in plain.headers
        wrong = await http.post("/v1/chat/completions", json=CHAT, headers={RETAIN: "soon"})
        assert (wrong.status, (await wrong.json())["error"]["param"]) == (400, RETAIN)
