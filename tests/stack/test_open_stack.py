"""The readiness of an open stack; opening and closing it is tested end to end."""

from __future__ import annotations

from typing import cast

import pytest

from kvproxy.backends.embedded.local_backend import EmbeddedBackend
from kvproxy.stack.open_stack import readiness


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
    local = cast(EmbeddedBackend, Backend(reason, full))
    assert readiness(local, lambda: several)() == expected
