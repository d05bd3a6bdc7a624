"""The readiness of a process with several models, and of an engine with a full queue."""

from __future__ import annotations

import pytest

from kvproxy.stack.readiness import engine_readiness, readiness


class Backend:
    """The two properties of a backend that readiness follows from."""

    def __init__(self, reason: str | None, full: bool) -> None:
        self.reason, self.full = reason, full

    def ready(self) -> str | None:
        return self.reason


@pytest.mark.parametrize(
    ("reason", "full", "several", "expected"),
    [
        (None, False, False, None),
        (None, True, False, "its queue is full"),
        (None, True, True, None),
        ("the engine has stopped", True, False, "the engine has stopped"),
        ("the engine has stopped", False, True, "the engine has stopped"),
    ],
)
def test_a_full_queue_counts_for_a_single_tenant_only(
    reason: str | None, full: bool, several: bool, expected: str | None
) -> None:
    assert engine_readiness(Backend(reason, full), lambda: several)() == expected


def test_a_process_is_ready_as_long_as_one_of_its_models_is() -> None:
    assert readiness({"a": lambda: "no replica is up", "b": lambda: None})() is None
    assert readiness({"a": lambda: None, "b": lambda: "no replica is up"})() is None


def test_a_process_without_any_model_says_why_of_each() -> None:
    assert readiness({"a": lambda: "no replica is up"})() == "no replica is up"
    told = readiness({"a": lambda: "no replica is up", "b": lambda: "the engine has stopped"})()
    assert told == "a: no replica is up; b: the engine has stopped"
