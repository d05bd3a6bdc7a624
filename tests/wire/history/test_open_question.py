from __future__ import annotations

import pytest

from kvproxy.wire.history.open_question import Turn, open_question


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        (["user"], 0),
        (["system", "user"], 1),
        (["user", "system"], 0),
        (["user", "user"], 1),
        (["user", "assistant", "user"], 2),
        (["user", "assistant"], None),
        (["user", "assistant", "tool"], None),
        (["user", "assistant", "tool", "user"], None),
        (["user", "assistant", "tool", "assistant", "user"], 4),
        (["system"], None),
        ([], None),
    ],
)
def test_the_index_of_the_open_question(turns: list[Turn], asked: int | None) -> None:
    assert open_question(turns) == asked
