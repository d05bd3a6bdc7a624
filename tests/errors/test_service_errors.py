from __future__ import annotations

from kvproxy.core import MissReason
from kvproxy.errors import MOST_TOLD, HitLost, Overloaded, Retryable, StorageFull, TimedOut, UpstreamError


def test_errors_that_pass_say_when_to_try_again() -> None:
    assert (Overloaded("full").http_status, Overloaded("full", retry_after_s=7).retry_after_s) == (429, 7)
    assert isinstance(StorageFull("full"), Retryable) and StorageFull("full").retry_after_s == 1
    assert TimedOut("slow").retry_after_s is None


def test_an_upstreams_error_keeps_its_status_and_fields() -> None:
    error = UpstreamError("No.", status=418, error={"code": 7, "extra": True}, retry_after_s=3)
    assert (error.http_status, error.retry_after_s) == (418, 3)
    assert error.body() == {
        "error": {"message": "No.", "type": "upstream_error", "param": None, "code": 7, "extra": True}
    }


def test_what_an_upstream_wrote_is_cut() -> None:
    long = {
        "message": "x" * 5_000,
        "nested": [["y" * 50_000]],
        "k" * 500: 1,
        "number": 10**300,
        **{f"f{i}": i for i in range(40)},
    }
    body = UpstreamError("No.", status=500, error=long).body()["error"]
    assert len(body["message"]) == MOST_TOLD
    assert "nested" not in body and all(len(name) <= 64 for name in body)
    assert len(body) < 40


def test_a_lost_hit_has_its_reason() -> None:
    assert HitLost("gone", MissReason.PAGES_REJECTED).reason is MissReason.PAGES_REJECTED
