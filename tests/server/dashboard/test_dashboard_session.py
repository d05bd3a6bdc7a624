"""Sealed sessions: nothing but what this secret has sealed, for this purpose, and not for ever."""

from __future__ import annotations

import base64

import pytest

from kvproxy.server.dashboard.dashboard_session import LIFETIME_S, DashboardSession, SessionSeal

NOW = 1_800_000_000.0
KEY = "sk-kvproxy-0123456789"


def test_a_session_comes_back_and_the_cookie_does_not_tell_the_key() -> None:
    seal, session = SessionSeal(None), DashboardSession.begin(KEY, NOW)
    cookie = seal.seal(session)
    assert seal.open(cookie, NOW) == session and seal.seal(session) != cookie
    raw = base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4))
    assert KEY.encode() not in raw and KEY not in cookie


def test_it_ends() -> None:
    seal = SessionSeal(None)
    cookie = seal.seal(DashboardSession.begin(KEY, NOW))
    assert seal.open(cookie, NOW + LIFETIME_S - 1) is not None
    assert seal.open(cookie, NOW + LIFETIME_S) is None


def test_a_changed_bit_anywhere_opens_nothing() -> None:
    seal = SessionSeal(None)
    cookie = seal.seal(DashboardSession.begin(KEY, NOW))
    raw = bytearray(base64.urlsafe_b64decode(cookie + "=" * (-len(cookie) % 4)))
    for at in range(len(raw)):
        changed = bytes(raw[:at]) + bytes([raw[at] ^ 1]) + bytes(raw[at + 1 :])
        assert seal.open(base64.urlsafe_b64encode(changed).decode().rstrip("="), NOW) is None


@pytest.mark.parametrize("cookie", ["", "x", "é", "AAAA", "A" * 5000, "{}", "../..", "\x00"])
def test_no_text_is_a_fault(cookie: str) -> None:
    assert SessionSeal(None).open(cookie, NOW) is None


def test_secrets_are_apart_and_one_secret_is_one_everywhere() -> None:
    session = DashboardSession.begin(KEY, NOW)
    cookie = SessionSeal("one secret of many").seal(session)
    assert SessionSeal("one secret of many").open(cookie, NOW) == session
    assert SessionSeal("another secret again").open(cookie, NOW) is None
    assert SessionSeal(None).open(SessionSeal(None).seal(session), NOW) is None


def test_a_text_that_is_sealed_for_one_purpose_is_no_session() -> None:
    seal = SessionSeal(None)
    notice = seal.seal_text('["sk-mine", "nonce", 99999999999]', b"notice")
    assert seal.open_text(notice, b"notice") is not None
    assert seal.open(notice, NOW) is None and seal.open_text(notice, b"other") is None


def test_the_token_belongs_to_one_session() -> None:
    seal = SessionSeal("one secret of many")
    mine, theirs = DashboardSession.begin(KEY, NOW), DashboardSession.begin(KEY, NOW)
    assert seal.is_token(mine, seal.token(mine)) and not seal.is_token(theirs, seal.token(mine))
    assert not seal.is_token(mine, "") and not seal.is_token(mine, "é\ud800")
    assert SessionSeal("another secret again").token(mine) != seal.token(mine)
