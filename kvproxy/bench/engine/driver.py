"""An engine that is driven by token ids: no HTTP, no chat template, no tokenizer. For measurements.

    with open_rig("shape:qwen3-0.6b", tokens=5000, cache_dir=default_cache_dir()) as rig:
        cold = rig.run(rig.prompt(3774), max_tokens=1)
        warm = rig.run(rig.prompt(3774), max_tokens=64)

Every torch call is made on the rig's one kernel thread, as in the server.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from kvproxy.bench.engine.timed_answer import IdVocabulary, Timed, TimedAnswer
from kvproxy.bench.engine.transformers_baseline import load_plain
from kvproxy.core import PAGE_TOKENS, Sampling
from kvproxy.engine.bitwise import ROWS, Rows, compare_rows, total
from kvproxy.engine.build import keep_freed_memory
from kvproxy.engine.cache.kv_cache import KVCache, pages_for
from kvproxy.engine.cache.occupancy import Occupancy
from kvproxy.engine.cache.page_io import DurablePages
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.prefix_index import PrefixIndex
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.engine.loop.sequence import Job
from kvproxy.engine.loop.sequence import Sequence as EngineSequence
from kvproxy.runtime.freed_memory import return_freed_memory
from kvproxy.runtime.garbage_collection import frozen
from kvproxy.store.page_store import PageStore

T = TypeVar("T")
GREEDY = Sampling(temperature=0.0)
SCOPE = "bench"


@dataclass(frozen=True, slots=True)
class KVPage:
    """``payload``: the page's bytes, [layers, 2, kv_heads, PAGE_TOKENS, head_dim]; its first ``used`` positions
    belong to the prompt."""

    page: int
    used: int
    payload: bytes


class Rig:
    """An engine and its cache. Made by :func:`open_rig` or :func:`start_rig`."""

    def __init__(self, engine: Engine, cache: KVCache, model: TileModel, thread: KernelThread) -> None:
        self.engine, self.cache, self.model, self.thread = engine, cache, model, thread
        self._ids = count()

    def prompt(self, length: int, seed: int = 0) -> tuple[int, ...]:
        """Random token ids; two seeds share no start."""
        return random_ids(length, self.model.vocab_size, seed)

    def submit(
        self, token_ids: Sequence[int], *, max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> TimedAnswer:
        """Queue a job; it is answered with exactly ``max_tokens`` tokens unless ``sampling`` stops it. ``fields``:
        any other field of Job. Raises the errors of Engine.submit.

        Example: ``rig.submit(random_ids(512, 1000), max_tokens=8).end()``
        """
        job = Job(
            id=f"rig-{next(self._ids)}",
            token_ids=tuple(token_ids),
            sampling=sampling,
            max_tokens=max_tokens,
            scope=SCOPE,
            readable=(SCOPE,),
            seed=1,
        )
        if fields:
            job = replace(job, **fields)
        answer = TimedAnswer()
        answer.sequence = self.engine.submit(job, answer.emit)
        return answer

    def run(
        self, token_ids: Sequence[int], *, max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> Timed:
        """Submit a job and wait for its answer. ``fields``: as ``submit``.

        Example: ``rig.run(random_ids(512, 1000), max_tokens=8)``
        """
        return self.submit(token_ids, max_tokens=max_tokens, sampling=sampling, **fields).end()

    def on_thread(self, function: Callable[[], T]) -> T:
        """Run between two steps, on the engine's thread."""
        result: list[T] = []
        self.engine.call(lambda: result.append(function())).result()
        return result[0]

    def occupancy(self) -> Occupancy:
        """Return the use of the page budget, read on the engine thread."""
        return self.cache.occupancy()

    @property
    def page_bytes(self) -> int:
        """Bytes of one page of KV."""
        return self.model.page_shape.bytes

    def forget(self) -> None:
        """Drop every unused page from memory; stored ones stay indexed, and are read again on demand."""
        self.on_thread(self._evict)

    def _evict(self) -> None:
        seen = self.cache.occupancy()
        wanted = seen.free + seen.evictable
        if self.cache.reserve(wanted):
            self.cache.return_pages([self.cache.take(None) for _ in range(wanted)])

    def kv(self, token_ids: Sequence[int]) -> list[KVPage]:
        """Return the pages in memory that hold a prompt's KV, as copies."""

        def read() -> list[KVPage]:
            match = self.cache.match(token_ids, (SCOPE,), len(token_ids))
            used = (min(PAGE_TOKENS, match.tokens - i * PAGE_TOKENS) for i in range(len(match.nodes)))
            kept = [
                (n.page, u) for n, u in zip(match.nodes, used, strict=True) if n.page is not None and u > 0
            ]
            return [KVPage(page, u, self.cache.pool.read(page)) for page, u in kept]

        return self.on_thread(read)

    def overwrite(self, pages: Sequence[KVPage]) -> None:
        """Put other KV in the place of pages that :meth:`kv` gave and that were not evicted since: the effect of a
        lossy codec on its readers. :meth:`forget` brings stored ones back."""

        def write() -> None:
            for p in pages:
                self.cache.pool.write(p.page, p.payload)

        self.on_thread(write)

    def compare(self, hit: TimedAnswer, cold: TimedAnswer, start: int, end: int | None = None) -> Rows:
        """Logits of two scoring jobs over one prompt, at every position from ``start`` up to ``end``, or to the last
        one. Both must have scored ``start``; ValueError when they did not compute the same positions.

        Example: ``rig.compare(hit, cold, 256)``
        """
        ours, reference = (_scored_between(a.sequence, start, end) for a in (hit, cold))
        if len(ours) != len(reference):
            raise ValueError(f"compared {len(ours)} positions with {len(reference)}")
        head = torch.inference_mode()(self.model.logits)

        def piece(at: int) -> Rows:
            return compare_rows(ours[at : at + ROWS], reference[at : at + ROWS], head)

        return total([self.on_thread(partial(piece, at)) for at in range(0, len(ours), ROWS)])

    def check(self) -> list[str]:
        """Faults in the books of pages; [] when sound."""
        return self.on_thread(self.engine.check)


def _scored_between(seq: EngineSequence, start: int, end: int | None) -> torch.Tensor:
    first = seq.job.score_from
    assert first is not None and first <= start, "it scored other positions"
    return seq.scored[start - first : None if end is None else end - first]


def random_ids(length: int, vocab_size: int, seed: int = 0) -> tuple[int, ...]:
    """Return ``length`` random token ids, the same for the same seed.

    Example: ``random_ids(512, 151_936, seed=1)``
    """
    source = random.Random(f"kvproxy {seed}")
    return tuple(source.randrange(vocab_size) for _ in range(length))


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def start_rig(
    model: TileModel,
    *,
    tokens: int,
    thread: KernelThread | None = None,
    store: DurablePages | None = None,
    max_running: int = 64,
    max_waiting: int = 64,
    **options: Any,
) -> Rig:
    """Return an engine around a model in memory. ``tokens``: positions of KV that all pages together hold, one page for
    the tail included. ``options``: any other of Engine's. End it with ``rig.engine.stop()``.

    Example: ``rig = start_rig(model, tokens=4096)``
    """
    cache = KVCache(model.pool(pages_for(tokens) + 2), PrefixIndex(root_key(model.fingerprint)))
    thread = thread or KernelThread()
    engine = Engine(
        model,
        cache,
        IdVocabulary(),
        eos_ids=frozenset(),
        max_context=min(model.max_context, tokens),
        max_running=max_running,
        max_waiting=max_waiting,
        store=store,
        thread=thread,
        **options,
    )
    engine.start()
    return Rig(engine, cache, model, thread)


@contextmanager
def open_rig(
    model: str,
    *,
    tokens: int,
    cache_dir: Path,
    dtype: str = "bfloat16",
    disk: bool = False,
    threads: int | None = None,
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> Iterator[Rig]:
    """``model``: ``shape:NAME`` or whatever ``resolve_model`` takes. ``disk``: a page store in a temporary folder.

    Raises SetupError when the model is not to be had.

    Example: ``with open_rig("shape:qwen3-0.6b", tokens=4096, cache_dir=folder) as rig: ...``
    """
    thread = KernelThread()

    def load() -> TileModel:
        keep_freed_memory()
        if threads is not None:
            torch.set_num_threads(threads)
        loaded = from_module(load_plain(model, dtype, cache_dir=cache_dir, say=say), model)
        return_freed_memory()
        return loaded

    try:
        tile_model = thread.submit(load).result()
    except BaseException:
        thread.close()
        raise
    with scratch_store(tile_model) if disk else no_store() as store:
        rig = start_rig(tile_model, tokens=tokens, thread=thread, store=store, **options)
        try:
            with frozen():
                yield rig
        finally:
            rig.engine.stop()


@contextmanager
def scratch_store(model: TileModel) -> Iterator[PageStore]:
    """Open a page store that is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="kvproxy-bench-") as folder,
        PageStore(
            Path(folder), max_size=2**40, fingerprint=model.fingerprint, form=model.page_shape.form
        ) as store,
    ):
        yield store


@contextmanager
def no_store() -> Iterator[None]:
    """Open no store: pages stay in memory alone."""
    yield None
