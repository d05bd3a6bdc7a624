from __future__ import annotations

import pytest

from kvproxy.errors import ContextTooLong, InvalidRequest, UnsupportedThread, UpstreamError
from kvproxy.wire.anthropic.errors import anthropic_status, error_body, error_type


@pytest.mark.parametrize(
    ("status", "type", "shown"),
    [
        (400, "invalid_request_error", 400),
        (401, "authentication_error", 401),
        (403, "permission_error", 403),
        (404, "not_found_error", 404),
        (405, "invalid_request_error", 405),
        (413, "request_too_large", 413),
        (429, "rate_limit_error", 429),
        (500, "api_error", 500),
        (502, "api_error", 502),
        (503, "overloaded_error", 529),
        (504, "timeout_error", 504),
        (529, "overloaded_error", 529),
    ],
)
def test_statuses_and_types(status: int, type: str, shown: int) -> None:
    assert error_type(status) == type and anthropic_status(status) == shown


def test_bodies() -> None:
    assert error_body(InvalidRequest("bad", param="x"), "r") == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "bad"},
        "request_id": "r",
    }
    told = error_body(UpstreamError("m", status=404, error={"message": "theirs", "code": 7}), "r")["error"]
    assert told == {"type": "not_found_error", "message": "theirs"}
    assert error_body(UnsupportedThread("no"), "r")["error"]["details"] == {
        "error_code": "thread_unsupported_request"
    }


@pytest.mark.parametrize(
    ("prompt", "completion", "message"),
    [
        (120, 1, "prompt is too long: 120 tokens > 100 maximum"),
        (
            90,
            20,
            "input length and `max_tokens` exceed context limit: 90 + 20 > 100, "
            "decrease input length or `max_tokens` and try again",
        ),
    ],
)
def test_a_prompt_that_is_too_long_has_anthropics_wording(prompt: int, completion: int, message: str) -> None:
    error = ContextTooLong(limit=100, prompt_tokens=prompt, completion_tokens=completion)
    assert error_body(error, "r")["error"]["message"] == message
