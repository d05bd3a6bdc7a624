"""A prompt with a text that may not leave this process is answered by the engine or by nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.errors import Overloaded
from tests.backends.litellm.test_litellm_backend import (
    MESSAGES,
    generation,
    local,
    pytestmark,
    rescued,
    text_of,
    upstream,
)
from tests.backends.mock_upstream import MockUpstream

__all__ = ["local", "pytestmark", "rescued", "upstream"]


@pytest.mark.parametrize("more", [{}, {"structured_outputs": {"regex": "a+"}}], ids=["plain", "structured"])
async def test_a_confined_prompt_has_no_fallback(
    rescued: LitellmBackend, local: FakeBackend, upstream: MockUpstream, more: dict[str, object]
) -> None:
    asked = generation()
    confined = replace(asked, request_id="r2", prompt=replace(asked.prompt, confined=True))
    call = {"messages": MESSAGES, **more}
    said = [event async for event in rescued.miss(confined, call)]
    assert text_of(said) != "" and upstream.bodies == []
    local.fail_next(error := Overloaded("full"))
    with pytest.raises(Overloaded) as caught:
        async for _ in rescued.miss(replace(confined, request_id="r3"), call):
            pass
    assert caught.value is error and upstream.bodies == []
    local.fail_next(Overloaded("full"))
    rescued_events = [event async for event in rescued.miss(replace(asked, request_id="r4"), call)]
    assert text_of(rescued_events) == "Hello." and len(upstream.bodies) == 1, "any other has one"
