"""Live fragments: rendered once for all who see the same, bounded, and not at all while nobody looks."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from kvproxy.core import Caller
from kvproxy.dashboard.view_scope import ViewScope
from kvproxy.errors import TooManyViews
from kvproxy.server.dashboard import live_updates
from kvproxy.server.dashboard.live_updates import MOST_OF_A_SESSION, Followed, LiveUpdates
from tests.server.doubles import eventually

ALICE = ViewScope(Caller("alice", "tenant:a"))
BOB = ViewScope(Caller("bob", "tenant:b"))


class Rendering:
    """A fragment with the number of its renderings in it, and who it was rendered for."""

    def __init__(self) -> None:
        self.times: list[str] = []
        self.same = False
        self.broken = False
        self.stamped: int | None = None

    async def __call__(self, scope: ViewScope) -> str:
        self.times.append(scope.caller.name)
        if self.broken:
            raise RuntimeError("broken")
        return "same" if self.same else f"{scope.caller.name} {len(self.times)}"

    def stamp(self, scope: ViewScope) -> int | None:
        return self.stamped

    @property
    def followed(self) -> Followed:
        return Followed("figures", self, self.stamp, 0.0)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "TICK_S", 0.01)
    monkeypatch.setattr(live_updates, "_EARLY_S", 0.0)


async def test_five_who_see_the_same_cost_one_rendering_each_tick() -> None:
    live, rendering = LiveUpdates(), Rendering()
    with ExitStack() as stack:
        streams = [stack.enter_context(live.following(str(n), ALICE, [rendering.followed])) for n in range(5)]
        await streams[0].wait(5)
        taken = [stream.take() for stream in streams]
        assert len(set(taken)) == 1 and b'"html":"alice 1"' in taken[0] and rendering.times == ["alice"]
        other = stack.enter_context(live.following("b", BOB, [rendering.followed]))
        await other.wait(5)
        assert b"bob" in other.take() and b"bob" not in b"".join(s.take() for s in streams)


async def test_nothing_runs_while_nobody_follows() -> None:
    live, rendering = LiveUpdates(), Rendering()
    with live.following("a", ALICE, [rendering.followed]) as stream:
        await stream.wait(5)
        assert live.streams == 1 and live_tasks() == 1
    await asyncio.sleep(0)
    assert live.streams == 0 and live_tasks() == 0
    with live.following("a", ALICE, [rendering.followed]) as stream:
        await stream.wait(5)
        assert stream.take()


async def test_what_has_not_changed_is_neither_sent_nor_with_a_stamp_rendered() -> None:
    live, rendering = LiveUpdates(), Rendering()
    rendering.same = True
    with live.following("a", ALICE, [rendering.followed]) as stream:
        await eventually(lambda: len(rendering.times) > 3)
        assert stream.take().count(b"event: fragment") == 1
        rendering.stamped = 1
        await eventually(lambda: live_stamp(live) == 1)
        times = len(rendering.times)
        await asyncio.sleep(0.1)
        assert len(rendering.times) == times and stream.take() == b""
        rendering.stamped, rendering.same = 2, False
        await stream.wait(5)
        assert b'"html":"alice' in stream.take()


async def test_a_slow_reader_gets_the_newest_alone_and_a_late_one_the_last() -> None:
    live, rendering = LiveUpdates(), Rendering()
    with live.following("a", ALICE, [rendering.followed]) as slow:
        await eventually(lambda: len(rendering.times) > 5)
        with live.following("b", ALICE, [rendering.followed]) as late:
            assert b"fragment" in late.take()
        taken = slow.take()
        assert taken.count(b"event: fragment") == 1 and b'"alice 1"' not in taken


async def test_a_session_has_a_few_streams_and_all_of_them_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    live, rendering = LiveUpdates(), Rendering()
    with ExitStack() as stack:
        for _ in range(MOST_OF_A_SESSION):
            stack.enter_context(live.following("a", ALICE, [rendering.followed]))
        with pytest.raises(TooManyViews):
            stack.enter_context(live.following("a", ALICE, [rendering.followed]))
        stack.enter_context(live.following("b", ALICE, [rendering.followed]))
        monkeypatch.setattr(live_updates, "MOST_STREAMS", live.streams)
        with pytest.raises(TooManyViews):
            stack.enter_context(live.following("c", ALICE, [rendering.followed]))
    assert live.streams == 0


async def test_a_tenant_with_many_sessions_leaves_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_updates, "MOST_OF_A_TENANT", 3)
    live, rendering = LiveUpdates(), Rendering()
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(live.following(str(number), ALICE, [rendering.followed]))
        with pytest.raises(TooManyViews):
            stack.enter_context(live.following("another", ALICE, [rendering.followed]))
        stack.enter_context(live.following("another", BOB, [rendering.followed]))
    stack.enter_context(live.following("later", ALICE, [rendering.followed]))
    stack.close()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "bob"},
        {"scope": "tenant:b"},
        {"key": "key_2"},
        {"permissions": frozenset({"read"})},
        {"granted": ("granted:1",)},
        {"retain": False},
        {"isolate_by": "prompt_cache_key"},
    ],
    ids=str,
)
async def test_who_differs_in_anything_has_a_rendering_of_its_own(change: dict[str, Any]) -> None:
    live, rendering = LiveUpdates(), Rendering()
    first = Caller("alice", "tenant:a", key="key_1")
    with ExitStack() as stack:
        for caller in (first, replace(first), replace(first, **change)):
            stack.enter_context(live.following("a", ViewScope(caller), [rendering.followed]))
        await eventually(lambda: len(rendering.times) > 1)
        assert len(live._topics) == 2, "two see the same"


async def test_a_fragment_that_fails_is_logged_and_left_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    live, bad, good = LiveUpdates(), Rendering(), Rendering()
    bad.broken = True
    with live.following("a", ALICE, [bad.followed, Followed("other", good, None, 0.0)]):
        await eventually(lambda: len(good.times) > 3)
    assert len(bad.times) == 1 and "'figures' cannot be rendered" in caplog.text


def live_tasks() -> int:
    return sum(task.get_name() == "dashboard-live" for task in asyncio.all_tasks())


def live_stamp(live: LiveUpdates) -> object:
    (topic,) = live._topics.values()
    return topic._stamp
