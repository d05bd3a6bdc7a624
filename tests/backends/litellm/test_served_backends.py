"""Several served models behind litellm's router: each miss goes to its own backend, and each has its own fallbacks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from kvproxy.backends.base import Generation
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.backends.litellm.litellm_backend import LitellmBackend
from kvproxy.core import Caller, Prompt, Sampling
from kvproxy.errors import Overloaded, SetupError
from kvproxy.events import Event, Started
from tests.backends.mock_upstream import MockUpstream, mock_upstream

pytestmark = pytest.mark.filterwarnings(
    r"ignore:Accessing the 'model_(computed_)?fields' attribute:pydantic.warnings.PydanticDeprecatedSince211"
)

CALL: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}


@dataclass
class Routed:
    """A router of two served models, of which the fleet alone has a fallback."""

    backend: LitellmBackend
    local: FakeBackend
    fleet: FakeBackend
    upstream: MockUpstream

    async def miss(self, model: str | None) -> list[Event]:
        sampling, caller = Sampling(max_tokens=4), Caller("a", "tenant:a")
        generation = Generation("r1", Prompt(tuple(range(20))), sampling, caller, model=model)
        return [event async for event in self.backend.miss(generation, CALL)]


@pytest.fixture
async def routed() -> AsyncIterator[Routed]:
    local, fleet = FakeBackend(model="local"), FakeBackend(model="fleet")
    async with mock_upstream() as upstream:
        backend = LitellmBackend(
            served={"local": local, "fleet": fleet},
            upstreams=[("up", {"model": "openai/up-1", "api_base": upstream.url, "api_key": "sk-upstream"})],
            fallbacks={"fleet": ["up"]},
        )
        yield Routed(backend, local, fleet, upstream)
        await backend.close()
    assert local.check() == fleet.check() == []


async def test_each_miss_goes_to_its_own_model(routed: Routed) -> None:
    await routed.miss("fleet")
    assert (len(routed.local.generations), len(routed.fleet.generations)) == (0, 1)
    await routed.miss("local")
    await routed.miss(None)
    assert (len(routed.local.generations), len(routed.fleet.generations)) == (2, 1)
    assert routed.upstream.bodies == []


async def test_a_fleet_falls_back_onto_its_upstream(routed: Routed) -> None:
    routed.fleet.fail_next(Overloaded("every replica is busy"))
    started = (await routed.miss("fleet"))[0]
    assert isinstance(started, Started) and started.parsed, "the upstream's answer"
    assert len(routed.upstream.bodies) == 1 and not routed.local.generations


async def test_another_model_s_fallback_is_not_used(routed: Routed) -> None:
    routed.local.fail_next(Overloaded("full"))
    with pytest.raises(Overloaded, match="full"):
        await routed.miss("local")
    assert routed.upstream.bodies == [] and not routed.fleet.generations


@pytest.mark.parametrize("target", ["local", "org/fleet"])
def test_no_served_model_stands_in_for_another(target: str) -> None:
    served = {"local": FakeBackend(), "org/fleet": FakeBackend()}
    with pytest.raises(SetupError, match=f"'{target}', which is served here; only upstreams can stand in"):
        LitellmBackend(served=served, upstreams=[("up", {})], fallbacks={"up": [target]})
