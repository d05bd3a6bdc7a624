from __future__ import annotations

import pytest

from kvproxy.wire.anthropic.tool_ids import anthropic_id, core_id


@pytest.mark.parametrize(("ours", "theirs"), [("call_a1", "toolu_a1"), ("mine", "mine"), ("call_", "toolu_")])
def test_an_id_survives_the_way_there_and_back(ours: str, theirs: str) -> None:
    assert anthropic_id(ours) == theirs and core_id(theirs) == ours
