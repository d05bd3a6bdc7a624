"""`EngineHarness`: an engine driven by a test, with streams of its events and a page store that can be broken."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol, TypeVar

import torch

from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import DurablePages
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.prefix_index import PrefixIndex
from kvproxy.engine.cache.spill_tier import SpillFiles
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.sequence import ALLOWANCE, Job
from kvproxy.engine.loop.sequence import Sequence as EngineSequence
from kvproxy.events import Event, Finished, Started, TextDelta
from kvproxy.store.page_results import Buffer, LayerRoom, Loaded, Missing, Rejected
from kvproxy.store.stored_pages import Tier

T = TypeVar("T")
PATIENCE_S = 30.0


@dataclass(eq=False)
class Stream:
    """The events of one job, read on the test's thread."""

    sequence: EngineSequence
    queue: queue.SimpleQueue[Event | BaseException]
    head: Callable[[torch.Tensor], torch.Tensor]
    started: Started | None = None
    finished: Finished | None = None
    error: BaseException | None = None
    text: str = ""

    def next(self) -> Event | BaseException:
        """The next event. Raises queue.Empty when the engine stays silent."""
        event = self.queue.get(timeout=PATIENCE_S)
        if isinstance(event, BaseException):
            self.error = event
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, TextDelta):
            self.text += event.text
        return event

    def end(self) -> Stream:
        """Read events until the last one."""
        while self.finished is None and self.error is None:
            self.next()
        return self

    def begin(self) -> Stream:
        """Read events until the prompt is computed."""
        while self.started is None and self.error is None:
            self.next()
        return self

    @property
    def answer(self) -> list[int]:
        """Ids of the answer; the stream must have ended well."""
        assert self.error is None and self.finished is not None, self.error
        return self.sequence.tokens[self.sequence.prompt_tokens :]

    @property
    def cached(self) -> int:
        assert self.started is not None, self.error
        return self.started.cached_tokens

    @property
    def logits(self) -> torch.Tensor:
        """Of the scored positions, float32 [rows, vocab]."""
        assert self.error is None and self.finished is not None, self.error
        return self.head(self.sequence.scored)


@dataclass
class EngineHarness:
    """An engine and its cache, driven by a test. :meth:`close` fails when a page is lost."""

    engine: Engine
    cache: KVCache
    streams: list[Stream] = field(default_factory=list)
    _ids: count[int] = field(default_factory=count)

    def submit(
        self, tokens: Sequence[int], *, on_progress: Callable[[int, int], None] | None = None, **fields: Any
    ) -> Stream:
        """Queue a job: greedy, 4 new tokens, scope ``a`` and public unless ``fields`` of Job say otherwise."""
        job = Job(
            id=f"job-{next(self._ids)}",
            token_ids=tuple(tokens),
            sampling=Sampling(temperature=0.0),
            max_tokens=4,
            scope="a",
            readable=("public", "a"),
            seed=1,
        )
        job = replace(job, **fields)
        events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        stream = Stream(self.engine.submit(job, events.put, on_progress), events, self.engine.model.logits)
        self.streams.append(stream)
        return stream

    def run(self, tokens: Sequence[int], **fields: Any) -> Stream:
        return self.submit(tokens, **fields).end()

    def cold(self, tokens: Sequence[int], **fields: Any) -> Stream:
        """Compute from scratch and register nothing."""
        return self.run(tokens, reuse=False, register=False, **fields)

    def score(self, tokens: Sequence[int], start: int, **fields: Any) -> Stream:
        """Keep the hidden states of all positions from ``start`` on."""
        return self.run(tokens, max_tokens=0, score_from=start, **fields)

    def on_engine(self, function: Callable[[], T]) -> T:
        """Run between two steps."""
        results: list[T] = []
        self.engine.call(lambda: results.append(function())).result(timeout=PATIENCE_S)
        return results[0]

    def settle(self) -> None:
        """Give the engine time for earlier calls, most likely a whole step."""
        for _ in range(3):
            self.on_engine(lambda: None)
            time.sleep(0.001)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, "it never came to this"
            self.settle()

    def idle(self) -> bool:
        """Return whether the index alone holds pages."""
        seen = self.cache.occupancy()
        return seen.held == seen.evictable

    def check(self) -> None:
        faults = self.on_engine(self.engine.check)
        assert faults == []
        seen = self.cache.occupancy()
        assert seen.free + seen.held == seen.total

    def evict_all(self) -> None:
        """Evict every unused page, as memory pressure would, one after another."""

        def evict() -> None:
            free = self.cache.occupancy().free
            wanted = free + self.cache.occupancy().evictable
            assert self.cache.reserve(wanted)
            self.cache.return_pages([self.cache.take(None) for _ in range(wanted)])

        self.on_engine(evict)

    def close(self) -> None:
        """End what still runs, then audit: nothing may be held but by the index, and nothing reserved.

        Idempotent; an engine that was stopped before is not audited."""
        if self.engine.alive:
            for stream in self.streams:
                self.engine.cancel(stream.sequence)
            self.wait_for(self.idle)
            self.check()
            seen = self.cache.occupancy()
            assert self.on_engine(lambda: self.cache.reserve(seen.total)), "pages are still reserved"
        self.engine.stop()


def make_harness(
    model: TileModel,
    vocabulary: Vocabulary,
    *,
    pages: int = 64,
    max_context: int = 2048,
    max_running: int = 64,
    max_waiting: int = 64,
    eos_ids: frozenset[int] = frozenset(),
    store: DurablePages | None = None,
    pace: Pace | None = None,
    spill: SpillFiles | None = None,
    allowance: int = ALLOWANCE,
) -> EngineHarness:
    cache = KVCache(model.pool(pages + 1), PrefixIndex(root_key(model.fingerprint)))
    engine = Engine(
        model,
        cache,
        vocabulary,
        eos_ids=eos_ids,
        max_context=max_context,
        max_running=max_running,
        max_waiting=max_waiting,
        store=store,
        pace=pace,
        spill=spill,
        allowance=allowance,
    )
    engine.start()
    return EngineHarness(engine, cache)


class HarnessMaker(Protocol):
    def __call__(
        self,
        model: TileModel | None = None,
        *,
        vocabulary: Vocabulary | None = None,
        pages: int = 64,
        max_context: int = 2048,
        max_running: int = 64,
        max_waiting: int = 64,
        eos_ids: frozenset[int] = frozenset(),
        store: DurablePages | None = None,
        spill: SpillFiles | None = None,
        allowance: int = ALLOWANCE,
    ) -> EngineHarness: ...


@dataclass
class HeldDisk:
    """A page store in memory whose reads and writes can be held and broken."""

    pages: dict[bytes, bytes] = field(default_factory=dict)
    refuse: Exception | None = None
    refuse_after: int = 0
    written: list[bytes] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def put(
        self,
        key: bytes,
        parent: bytes,
        token_ids: Sequence[int],
        payload: bytes,
        owner: str | None = None,
    ) -> None:
        assert self.gate.wait(60)
        if self.refuse is not None and len(self.written) >= self.refuse_after:
            raise self.refuse
        self.pages[key] = payload
        self.written.append(key)

    def get(
        self, key: bytes, parent: bytes, token_ids: Sequence[int], into: Buffer | LayerRoom | None = None
    ) -> Loaded | Missing | Rejected:
        assert self.gate.wait(60)
        if self.refuse is not None:
            raise self.refuse
        if key not in self.pages:
            return Missing()
        return Loaded(memoryview(bytearray(self.pages[key])))

    def has(self, key: bytes) -> bool:
        return key in self.pages

    def tier(self, key: bytes) -> Tier | None:
        return "disk" if key in self.pages else None


def learn_pages(rig: EngineHarness, tokens: Sequence[int], scope: str = "a") -> None:
    """Register pages on disk in an engine's index, as a restarted proxy does."""

    def learn() -> None:
        node = None
        for start in range(0, len(tokens), PAGE_TOKENS):
            node = rig.cache.add_stored(scope, node, tuple(tokens[start : start + PAGE_TOKENS]))

    rig.on_engine(learn)
