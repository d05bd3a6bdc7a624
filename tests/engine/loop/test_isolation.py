"""A failure that concerns one sequence ends that one alone: the others go on, with the same bits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.decode.speculation import Drafter
from kvproxy.engine.decode.text_deltas import TextDeltas
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop import tile_results
from kvproxy.engine.loop.admission import Admission
from kvproxy.engine.loop.page_growth import PageGrowth
from kvproxy.engine.loop.sequence import Phase, Sequence
from kvproxy.errors import KVProxyError
from kvproxy.events import Finished
from tests.engine.harness import EngineHarness, HarnessMaker, HeldDisk, Stream
from tests.engine.tiny import prompt

SHARED = prompt(9, 100)
"""The start of every prompt, kept: each takes a part of its page."""
SEEDS = 1, 2, 3, 4


def asked(seed: int) -> tuple[int, ...]:
    """A prompt whose answer needs a second page after two tokens."""
    return (*SHARED, *prompt(seed, PAGE_TOKENS - 2 - len(SHARED)))


class Broken:
    """In the place of a function: the real one, but that it raises once, when it is armed."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self._function: Callable[..., Any] = getattr(owner, name)
        self.armed = False
        broken = self

        def call(*args: Any, **named: Any) -> Any:
            if broken.armed:
                broken.armed = False
                raise RuntimeError("broken on purpose")
            return broken._function(*args, **named)

        patch.setattr(owner, name, call)


@contextmanager
def resting(rig: EngineHarness) -> Iterator[None]:
    """The engine's thread waits until the block ends: what is submitted is all there when it goes on."""
    go = threading.Event()
    rig.engine.call(lambda: go.wait(60))
    yield
    go.set()


def check(
    rig: EngineHarness, streams: list[Stream], alone: list[list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    """Exactly one has failed, and holds nothing; the others answered as they do alone."""
    failed = [s for s in streams if s.end().error is not None]
    assert len(failed) == 1
    error = failed[0].error
    assert isinstance(error, KVProxyError) and error.http_status == 500
    assert "on purpose" not in error.message and "on purpose" in caplog.text
    assert failed[0].sequence.phase is Phase.ENDED and failed[0].sequence.pages == []
    assert all(s.answer == a for s, a in zip(streams, alone, strict=True) if s is not failed[0])
    rig.wait_for(rig.idle)
    rig.check()


PLACES = [
    (KVCache, "match"),
    (KVCache, "take"),
    (KVCache, "share"),
    (KVCache, "register"),
    (PagePool, "clear"),
    (PagePool, "copy_prefix"),
    (PageGrowth, "_extend"),
    (Sequence, "score"),
    (TextDeltas, "push"),
    (tile_results, "choose"),
    (tile_results, "_last_event"),
    (Admission, "_attach"),
]


@pytest.mark.parametrize("place", PLACES, ids=lambda p: f"{p[0].__name__.split('.')[-1]}.{p[1]}")
def test_one_failure_ends_one_sequence(
    rigs: HarnessMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: tuple[Any, str],
) -> None:
    prompts = [
        (*prompt(8, PAGE_TOKENS), *asked(seed)) if place[1] == "share" else asked(seed) for seed in SEEDS
    ]
    rig = rigs(allowance=1)
    alone = [rig.cold(tokens, max_tokens=6).answer for tokens in prompts]
    rig.run((*prompt(8, PAGE_TOKENS), *SHARED), max_tokens=0)
    rig.run(SHARED, max_tokens=0)
    broken = Broken(monkeypatch, *place)
    broken.armed = True
    scored: dict[str, Any] = {"score_from": 200} if place[1] == "score" else {}
    with resting(rig):
        streams = [rig.submit(tokens, max_tokens=6, **scored) for tokens in prompts]
    check(rig, streams, alone, caplog)
    assert not broken.armed


def test_a_sequence_ends_alone_when_its_event_cannot_be_delivered(
    rigs: HarnessMaker, caplog: pytest.LogCaptureFixture
) -> None:
    rig = rigs()
    alone = [rig.cold(asked(seed), max_tokens=6).answer for seed in SEEDS[:2]]
    streams = [rig.submit(asked(seed), max_tokens=6) for seed in SEEDS[:2]]

    def deaf(event: object) -> None:
        raise RuntimeError("broken on purpose")

    victim = rig.engine.submit(rig.submit(asked(3)).sequence.job, deaf)
    assert [s.end().answer for s in streams] == alone
    rig.wait_for(lambda: victim.phase is Phase.ENDED)
    rig.wait_for(rig.idle)
    # A sequence has ended before its last event is tried.
    rig.wait_for(lambda: "could not be delivered" in caplog.text)
    assert rig.engine.load == (0, 0)


@pytest.mark.parametrize("name", ["inspect", "on_progress"])
def test_a_callback_that_fails_ends_its_own_sequence(
    rigs: HarnessMaker, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    rig = rigs()

    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    alone = [rig.cold(asked(seed), max_tokens=6).answer for seed in SEEDS[:3]]
    streams = [rig.submit(asked(seed), max_tokens=6) for seed in SEEDS[:2]]
    callback: dict[str, Any] = {name: fail}
    check(rig, [*streams, rig.submit(asked(3), max_tokens=6, **callback)], alone, caplog)


def test_a_drafter_that_fails_costs_no_answer(
    rigs: HarnessMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = rigs()
    alone = [rig.cold(asked(seed), max_tokens=30, speculate=False).answer for seed in SEEDS]
    Broken(monkeypatch, Drafter, "propose").armed = True
    streams = [rig.submit(asked(seed), max_tokens=30) for seed in SEEDS]
    assert [s.end().answer for s in streams] == alone
    assert "without drafts" in caplog.text


def test_a_page_that_cannot_be_written_to_the_pool_is_computed_again(
    rigs: HarnessMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = rigs(store=HeldDisk())
    alone = [rig.cold(asked(seed), max_tokens=6).answer for seed in SEEDS]
    rig.run(SHARED, max_tokens=0, persist=True)
    rig.evict_all()
    Broken(monkeypatch, PagePool, "write").armed = True
    streams = [rig.submit(asked(seed), max_tokens=6) for seed in SEEDS]
    assert [s.end().answer for s in streams] == alone
    assert "on purpose" in caplog.text
    rig.wait_for(rig.idle)
    rig.check()


def test_a_page_that_cannot_be_copied_for_the_store_ends_its_publisher(
    rigs: HarnessMaker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rig = rigs(store=HeldDisk())
    alone = [rig.cold(asked(seed), max_tokens=6).answer for seed in SEEDS[:2]]
    Broken(monkeypatch, PagePool, "read").armed = True
    streams = [rig.submit(asked(seed), max_tokens=6) for seed in SEEDS[:2]]
    publisher = rig.submit(prompt(7, 300), max_tokens=0, persist=True)
    check(rig, [*streams, publisher], [*alone, []], caplog)


def test_a_tile_that_fails_ends_those_with_rows_in_it(
    rigs: HarnessMaker, llama: TileModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece of a long prompt fails; the streams have tiles of their own."""
    rig = rigs(llama)
    alone = [rig.cold(prompt(seed, 20), max_tokens=60).answer for seed in SEEDS[:2]]
    steps = llama.tiles.steps

    def broken(tile: Any, kv: Any) -> Any:
        if tile.written > 40:
            raise RuntimeError("broken on purpose")
        return (yield from steps(tile, kv))

    monkeypatch.setattr(llama.tiles, "steps", broken)
    with resting(rig):
        streams = [rig.submit(prompt(seed, 20), max_tokens=60) for seed in SEEDS[:2]]
        long = rig.submit(prompt(7, 1500), max_tokens=6)
    assert isinstance(long.end().error, KVProxyError)
    assert [s.end().answer for s in streams] == alone
    assert all(isinstance(s.finished, Finished) for s in streams)


def test_a_request_that_cannot_be_made_is_not_counted(
    rigs: HarnessMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs()
    Broken(monkeypatch, Sequence, "__post_init__").armed = True
    with pytest.raises(RuntimeError):
        rig.submit(asked(1))
    assert rig.engine.load == (0, 0)
