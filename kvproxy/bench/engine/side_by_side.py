"""transformers and the engine on the same weights and token ids, in one process, on one kernel thread.

Where two copies of the weights fit, the two take turns, so that a machine that slows down slows both. Where they do
not, transformers goes first and its module then becomes the engine's; a matrix product that is timed in between
shows how far the machine drifted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from torch import nn

from kvproxy.bench.engine.ceilings import layer_linears, work_of
from kvproxy.bench.engine.driver import Rig, random_ids, start_rig
from kvproxy.bench.engine.transformers_baseline import Baseline, load_plain
from kvproxy.engine.build import keep_freed_memory
from kvproxy.engine.forward.tile_model import from_module
from kvproxy.engine.loop.kernel_thread import KernelThread
from kvproxy.runtime.freed_memory import return_freed_memory
from kvproxy.runtime.garbage_collection import frozen

T = TypeVar("T")
_SPARE = 2 * 2**30
"""Bytes left to activations and to others where two copies of the weights are held."""


@dataclass(frozen=True, slots=True)
class Case:
    """A cold prompt and ``new_tokens`` greedy tokens behind it."""

    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. ``token_s``: mean time between two tokens; 0 where there was only one."""

    ttft_s: float
    token_s: float


@dataclass(frozen=True, slots=True)
class SideBySideOutcome:
    """Times of one case on either side."""

    case: Case
    theirs: tuple[Times, ...]
    ours: tuple[Times, ...]


class Duel:
    """Made by :func:`open_duel`."""

    def __init__(
        self, load: Callable[[], Any], thread: KernelThread, start: Callable[[nn.Module], Rig], kv_tokens: int
    ) -> None:
        """``load`` gives a fresh copy of the transformers module; ``start`` makes an engine of one."""
        self._load, self._thread, self._start = load, thread, start
        self._plain = thread.submit(load).result()
        self.config: Any = self._plain.config
        self.work = work_of(self._plain, self.config)
        self.shapes = sorted({(x.in_features, x.out_features) for x in layer_linears(self._plain)})
        """(inner, columns) of the matrices of its layers."""
        self._baseline: Baseline | None = Baseline(self._plain)
        self._rig: Rig | None = None
        weights = sum(p.numel() * p.element_size() for p in self._plain.parameters())
        kv = kv_tokens * 4 * self.config.num_hidden_layers * self.config.hidden_size
        self.in_turn = psutil.virtual_memory().available > 2 * weights + kv + _SPARE
        """Whether the two take turns."""
        self.drift: list[float] = [self._probe()]
        """GFLOP/s of one product: before, between (where they do not take turns), and after."""

    @property
    def rig(self) -> Rig:
        """The engine; the first call ends transformers' part where both do not fit."""
        if self._rig is None:
            self._rig = self._convert()
        return self._rig

    def play(
        self, cases: Sequence[Case], repeats: int, progress: Callable[[int, int], None] | None = None
    ) -> list[SideBySideOutcome]:
        """Run each case ``repeats`` times on either side, after a short one that warms it up. Once per duel.

        Example: ``duel.play(cases, 3)``
        """
        say, done, total = progress or (lambda *_: None), 0, 2 * repeats * len(cases)
        theirs: list[list[Times]] = [[] for _ in cases]
        ours: list[list[Times]] = [[] for _ in cases]
        say(0, total)
        warm_up = Case(64, 2)
        self._theirs(warm_up, seed=-1)
        if self.in_turn:
            self._ours(warm_up, seed=-1)
            sides = [[(self._theirs, theirs), (self._ours, ours)]]
        else:
            sides = [[(self._theirs, theirs)], [(self._ours, ours)]]
        for turns in sides:
            for i, case in enumerate(cases):
                for repeat in range(repeats):
                    for run, into in turns:
                        say(done, total)
                        into[i].append(run(case, seed=repeat))
                        done += 1
            self.drift.append(self._probe())
        say(total, total)
        return [
            SideBySideOutcome(case, tuple(t), tuple(o))
            for case, t, o in zip(cases, theirs, ours, strict=True)
        ]

    def on_thread(self, function: Callable[[], T]) -> T:
        """Run on the kernel thread."""
        if self._rig is not None:
            return self._rig.on_thread(function)
        return self._thread.submit(function).result()

    def close(self) -> None:
        """Stop the engine, or the kernel thread where no engine was started."""
        if self._rig is not None:
            self._rig.engine.stop()
        else:
            self._thread.close()

    def _theirs(self, case: Case, seed: int) -> Times:
        assert self._baseline is not None, "transformers' part is over"
        baseline, ids = self._baseline, self._prompt(case, seed)
        made = self.on_thread(lambda: baseline.generate(ids, case.new_tokens))
        return Times(made.ttft_s, _mean(made.gaps_s))

    def _ours(self, case: Case, seed: int) -> Times:
        made = self.rig.run(self._prompt(case, seed), max_tokens=case.new_tokens, reuse=False, register=False)
        return Times(made.ttft_s, _mean(made.gaps_s))

    def _prompt(self, case: Case, seed: int) -> tuple[int, ...]:
        return random_ids(case.prompt_tokens, self.config.vocab_size, seed)

    def _convert(self) -> Rig:
        if self.in_turn:
            return self._start(self._thread.submit(self._load).result())
        plain, self._plain, self._baseline = self._plain, None, None
        return self._start(plain)

    def _probe(self) -> float:
        return self.on_thread(product_gflops)


@contextmanager
def open_duel(
    model: str,
    *,
    tokens: int,
    cache_dir: Path,
    dtype: str = "bfloat16",
    say: Callable[[str], None] | None = None,
    **options: Any,
) -> Iterator[Duel]:
    """``model``: ``shape:NAME`` or a model; ``tokens``: positions that the engine's pages hold; ``options``: any
    other of Engine's. Raises SetupError when the model is not to be had.

    Example: ``with open_duel("smollm2-135m", tokens=4096, cache_dir=folder) as duel: ...``
    """
    thread = KernelThread()

    def load() -> Any:
        keep_freed_memory()
        return load_plain(model, dtype, cache_dir=cache_dir, say=say)

    def start(module: nn.Module) -> Rig:
        tile_model = thread.submit(from_module, module, model).result()
        thread.submit(return_freed_memory).result()
        return start_rig(tile_model, tokens=tokens, thread=thread, **options)

    try:
        duel = Duel(load, thread, start, tokens)
    except BaseException:
        thread.close()
        raise
    try:
        with frozen():
            yield duel
    finally:
        duel.close()


def product_gflops(rows: int = 1024, inner: int = 2048, columns: int = 2048, repeats: int = 5) -> float:
    """Return the best of ``repeats`` bf16 products [rows, inner] x [inner, columns] by
    ``torch.nn.functional.linear``.

    Example: ``product_gflops(rows=64)``
    """
    x = torch.randn(rows, inner).bfloat16()
    weight = torch.randn(columns, inner).bfloat16()
    best = float("inf")
    for _ in range(repeats + 1):
        began = time.perf_counter()
        nn.functional.linear(x, weight)
        best = min(best, time.perf_counter() - began)
    return 2 * rows * inner * columns / best / 1e9


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
