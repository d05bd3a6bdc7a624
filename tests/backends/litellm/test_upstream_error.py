"""Only what the upstream said is told, whatever class litellm made of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kvproxy.backends.litellm.upstream_error import upstream_error

BODY = {"message": "No.", "type": "t", "param": None, "code": "c"}


class Raised(Exception):
    """An exception with the attributes that litellm's and openai's have."""

    def __init__(self, text: str = "Traceback (most recent call last): secret", **attributes: Any) -> None:
        super().__init__(text)
        self.__dict__.update(attributes)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def answer(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "http://upstream/")
    return httpx.HTTPStatusError(
        "no", request=request, response=httpx.Response(status, headers=headers, request=request)
    )


def test_the_outer_status_and_the_inner_body() -> None:
    error = caused(Raised(status_code=503, body=None), Raised(status_code=500, body=BODY))
    shown = upstream_error(error)
    assert (shown.http_status, shown.body()) == (503, {"error": BODY})


def test_a_wrapped_body_is_unwrapped() -> None:
    assert upstream_error(Raised(status_code=400, body={"error": BODY})).body() == {"error": BODY}


@pytest.mark.parametrize("body", [None, "text", {"detail": "x"}, {"message": 5}])
def test_a_foreign_body_leaves_a_sentence(body: object) -> None:
    shown = upstream_error(caused(Raised(status_code=418, body=body), answer(418)))
    assert shown.body()["error"]["message"] == "The upstream answered with status 418."


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("0.2", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)])
def test_retry_after(value: str, seconds: int) -> None:
    error = caused(Raised(status_code=429, body=BODY), answer(429, **{"Retry-After": value}))
    assert upstream_error(error).retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "midway", "status", "words"),
    [
        (caused(Raised(status_code=500), ConnectionRefusedError()), False, 502, "could not be reached"),
        (caused(Raised(status_code=500), httpx.ReadError("x")), True, 502, "broke off"),
        (Raised(status_code=503), True, 502, "broke off"),
        (Raised(status_code=408), False, 504, "in time"),
        (caused(Raised(status_code=500), httpx.ReadTimeout("x")), True, 504, "in time"),
        (Raised(cooldown_time=4.2), False, 503, "left alone"),
        (Raised(), False, 502, "could not be used"),
        (Raised(status_code=500), False, 502, "could not be used"),
        (Raised(status_code=200, body=BODY), False, 502, "No."),
    ],
)
def test_failures_without_an_answer(error: Exception, midway: bool, status: int, words: str) -> None:
    shown = upstream_error(error, midway=midway)
    assert shown.http_status == status
    assert words in shown.message
    assert "Traceback" not in str(shown.body())


def test_a_resting_upstream_says_when_to_come_back() -> None:
    assert upstream_error(Raised(cooldown_time=4.2)).retry_after_s == 5


def test_a_refusal_of_litellms_own_keeps_its_first_line() -> None:
    error = Raised(status_code=400, message="litellm.SomeError: no such parameter: x\nTraceback: secret")
    assert upstream_error(error).message == "no such parameter: x"


def test_a_chain_that_loops_ends() -> None:
    first, second = Raised(), Raised(status_code=400, body=BODY)
    first.__context__, second.__context__ = second, first
    assert upstream_error(first).http_status == 400
