from __future__ import annotations

import json

import pytest

from kvproxy.backends.fleet.replica_errors import client_error, refused_request, replica_error, told
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import InvalidRequest, NotReady, Overloaded, UnsupportedSchema, UpstreamError


def body(message: str, param: str | None = None) -> bytes:
    return json.dumps(
        {"error": {"message": message, "type": "BadRequestError", "param": param, "code": 400}}
    ).encode()


def test_a_400_is_the_clients_with_its_field() -> None:
    found = replica_error("a", 400, body("logprobs must be at most 20", "logprobs"), {})
    assert isinstance(found, InvalidRequest) and found.param == "logprobs"
    assert "at most 20" in found.message and "a:" not in found.message


def test_a_context_that_is_too_long_is_said_as_agents_know_it() -> None:
    found = refused_request(
        "This model's maximum context length is 128 tokens. However, your prompt contains 500 input tokens",
        None,
    )
    assert found.code == "context_length_exceeded" and found.message.endswith("(context_length_exceeded)")
    assert "128 tokens" in found.message and "500" in found.message


def test_a_grammar_that_is_refused_is_an_unsupported_schema() -> None:
    assert isinstance(refused_request("Grammar error: unknown rule", None), UnsupportedSchema)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (500, {}, "down"),
        (502, {}, "down"),
        (503, {}, "down"),
        (503, {"Retry-After": "4"}, "busy"),
        (429, {}, "busy"),
        (401, {}, "misconfigured"),
        (404, {}, "misconfigured"),
    ],
)
def test_other_statuses_are_the_replicas(status: int, headers: dict[str, str], kind: str) -> None:
    found = replica_error("a", status, b"<html>", headers)
    assert isinstance(found, ReplicaFailed)
    assert (found.kind, found.status) == (kind, status)
    assert found.retry_after_s == (4 if headers else None)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'{"error": 3}', b'{"error": null}', b"\xff\xfe", b'{"detail": "x"}']
)
def test_any_body_can_be_told(raw: bytes) -> None:
    message, param = told(raw)
    assert message and param is None


def test_clients_learn_no_replicas_name() -> None:
    down = ReplicaFailed("secret-host:8000", "down", "it refused the connection")
    busy = ReplicaFailed("secret-host:8000", "busy", "429", retry_after_s=9)
    wrong = ReplicaFailed("secret-host:8000", "misconfigured", "401")
    found = [client_error(list(f)) for f in ((), (down,), (down, busy), (wrong, down))]
    assert [type(one) for one in found] == [NotReady, UpstreamError, Overloaded, UpstreamError]
    assert not any("secret-host" in one.message for one in found)
    assert found[2].retry_after_s == 9


def test_what_has_failed_is_named() -> None:
    late = ReplicaFailed("a", "down", "no first token within 600 s", status=504)
    down = ReplicaFailed("b", "down", "it refused the connection")
    failed = ReplicaFailed("c", "failed-request", "it ended with an error")
    found = [client_error(list(f)) for f in ((late,), (late, late), (late, down), (failed, failed))]
    assert [one.http_status for one in found] == [504, 504, 502, 502]
    assert found[0].message == "One of the model's replicas was asked, and none answered in time."
    assert "2 of the model's replicas were asked, and none answered in time" in found[1].message
    assert "in time" not in found[2].message and "failed at this request" in found[3].message
