from __future__ import annotations

import pytest

from kvproxy.errors import (
    MOST_TOLD,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PreviousResponseNotFound,
)


def test_a_body_has_the_four_keys_of_openais() -> None:
    assert InvalidRequest("No.", param="n").body() == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "n", "code": None}
    }


def test_what_a_client_wrote_is_cut() -> None:
    error = InvalidRequest("x" * 5_000, param="p" * 5_000)
    assert len(error.message) == MOST_TOLD and error.message.endswith("…")
    assert error.param is not None and len(error.param) == 256


@pytest.mark.parametrize(
    ("at_least", "needs"), [(False, "needs 130 tokens"), (True, "needs at least 130 tokens")]
)
def test_a_context_says_what_fits_and_what_was_asked(at_least: bool, needs: str) -> None:
    error = ContextTooLong(limit=100, prompt_tokens=120, completion_tokens=10, at_least=at_least)
    assert "maximum context length is 100 tokens" in error.message and needs in error.message
    assert error.message.endswith("(context_length_exceeded)")
    assert (error.http_status, error.code, error.param) == (400, "context_length_exceeded", "messages")


def test_a_missing_model_lists_some_that_are_served() -> None:
    few = ModelNotFound("gone", ["a", "b"])
    assert few.message.endswith("Served here: `a`, `b`.") and few.param == "model"
    many = ModelNotFound("g" * 500, [f"m{i}" for i in range(25)])
    assert many.message.endswith("`m19` and 5 more.") and "g" * 129 not in many.message
    assert "Served" not in ModelNotFound("gone").message


def test_a_response_that_is_missing_is_named_in_the_message() -> None:
    lost = PreviousResponseNotFound("resp_1")
    assert (lost.http_status, lost.param) == (400, "previous_response_id") and "resp_1" in lost.message
