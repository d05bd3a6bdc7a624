"""Tiny random models, a byte-level vocabulary for them, and an engine that is driven from a test."""

from __future__ import annotations

import json
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from kvproxy.core import Sampling
from kvproxy.engine.cache.kv_cache import KVCache
from kvproxy.engine.cache.page_io import DurablePages
from kvproxy.engine.cache.page_key import root_key
from kvproxy.engine.cache.page_pool import PagePool
from kvproxy.engine.cache.prefix_index import PrefixIndex
from kvproxy.engine.cache.spill_tier import SpillFiles
from kvproxy.engine.decode.detokenizer import Vocabulary
from kvproxy.engine.forward.module_decoder import Steps
from kvproxy.engine.forward.tile_model import TileModel, from_module
from kvproxy.engine.forward.tiles import Tile
from kvproxy.engine.loop.engine import Engine
from kvproxy.engine.loop.pacing import Pace
from kvproxy.engine.loop.sequence import ALLOWANCE, Job
from kvproxy.engine.loop.sequence import Sequence as EngineSequence
from kvproxy.events import Event, Finished, Started, TextDelta

T = TypeVar("T")
VOCAB = 101
PATIENCE_S = 30.0
DEVICE = os.environ.get("KVPROXY_TEST_DEVICE", "cpu")
"""Where the tests' models are: ``cuda`` runs the engine's tests on a CUDA device."""


def make_module(kind: str, dtype: torch.dtype, *, seed: int = 7, intermediate: int = 100) -> PreTrainedModel:
    """``llama`` (GQA 3:1, head size 8), ``qwen2`` (no grouping, biases) or ``qwen3`` (head size 24, q/k norms).

    Weights are ten times larger than usual, so that logits are far from uniform; biases and norms are random.
    """
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB,
        "num_hidden_layers": 2,
        "max_position_embeddings": 2048,
        "intermediate_size": intermediate,
        "initializer_range": 0.2,
    }
    grouped: dict[str, Any] = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2}
    plain: dict[str, Any] = {"hidden_size": 40, "num_attention_heads": 5, "num_key_value_heads": 5}
    model: PreTrainedModel
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**sizes, **grouped))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**sizes, **plain))
    else:
        model = Qwen3ForCausalLM(Qwen3Config(**sizes, **grouped, head_dim=24, tie_word_embeddings=True))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
            # Parameters alone, as loading does it: the rotary frequencies stay in float32.
            parameter.data = parameter.data.to(dtype)
    return model


def make_model(kind: str, dtype: torch.dtype, *, seed: int = 7, intermediate: int = 100) -> TileModel:
    """:func:`make_module` on tiles."""
    module = make_module(kind, dtype, seed=seed, intermediate=intermediate)
    model = from_module(on_device(module), f"{kind}-{seed}")
    tiles: Any = model.tiles
    tiles.steps = layers_in_turn(tiles.steps)
    if DEVICE != "cpu":
        # As many tiles for a prompt as on a CPU.
        model.numerics = replace(model.numerics, tiles=tuple(t for t in model.numerics.tiles if t <= 256))
    return model


def layers_in_turn(steps: Callable[[Tile, torch.Tensor], Steps]) -> Callable[[Tile, torch.Tensor], Steps]:
    """``steps``, one layer of one tile at a time: the engines of several threads share a model, whose tiles share the
    memory for intermediate results."""
    lock = threading.Lock()

    def run(tile: Tile, kv: torch.Tensor) -> Steps:
        layers = steps(tile, kv)
        while True:
            with lock:
                try:
                    next(layers)
                except StopIteration as done:
                    hidden: torch.Tensor = done.value
                    return hidden
            yield

    return run


def on_device(module: nn.Module, device: str = DEVICE, dtype: torch.dtype | None = None) -> nn.Module:
    """``module`` itself, moved."""
    return module.to(device, dtype)


def byte_alphabet() -> list[str]:
    """GPT-2's characters for the bytes 0 to 255."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) if b in shown else chr(0x100 + hidden.index(b)) for b in range(256)]


def write_vocabulary(folder: Path, words: Sequence[str] = ()) -> Path:
    """A byte-level ``tokenizer.json``: ids 0 to 255 are the bytes, then ``words``, then one control token."""
    alphabet = byte_alphabet()
    tokens = alphabet + ["".join(alphabet[b] for b in w.encode()) for w in words]
    spec = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": len(tokens),
                "content": "<|end|>",
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        ],
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": True,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": []},
    }
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    return folder


def prompt(seed: int, length: int) -> tuple[int, ...]:
    """Random tokens; two seeds share no start."""
    source = random.Random(seed)
    return tuple(source.randrange(1, VOCAB) for _ in range(length))


@dataclass(eq=False)
class Stream:
    """What one job emitted, read on the test's thread."""

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
        while self.finished is None and self.error is None:
            self.next()
        return self

    def begin(self) -> Stream:
        """Until the prompt is computed."""
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
class Rig:
    """An engine and its cache. ``close`` fails when a page is lost."""

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
        """Computed from scratch, leaving nothing behind."""
        return self.run(tokens, reuse=False, register=False, **fields)

    def score(self, tokens: Sequence[int], start: int, **fields: Any) -> Stream:
        """Logits of all positions from ``start`` on."""
        return self.run(tokens, max_tokens=0, score_from=start, **fields)

    def on_engine(self, function: Callable[[], T]) -> T:
        """Run between two steps."""
        results: list[T] = []
        self.engine.call(lambda: results.append(function())).result(timeout=PATIENCE_S)
        return results[0]

    def settle(self) -> None:
        """Give the engine time for what was asked of it before, most likely a whole step."""
        for _ in range(3):
            self.on_engine(lambda: None)
            time.sleep(0.001)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until something is true that the engine is about to do."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until, "it never came to this"
            self.settle()

    def idle(self) -> bool:
        """Whether nobody holds a page but the index."""
        seen = self.cache.occupancy()
        return seen.held == seen.evictable

    def check(self) -> None:
        faults = self.on_engine(self.engine.check)
        assert faults == []
        seen = self.cache.occupancy()
        assert seen.free + seen.held == seen.total

    def evict_all(self) -> None:
        """Forget every page that nobody uses, as memory pressure would, one after another."""

        def evict() -> None:
            free = self.cache.occupancy().free
            wanted = free + self.cache.occupancy().evictable
            assert self.cache.reserve(wanted)
            self.cache.return_pages([self.cache.take(None) for _ in range(wanted)])

        self.on_engine(evict)

    def close(self) -> None:
        """End what still runs, then audit: nothing may be held but by the index, and nothing promised.

        Idempotent; an engine that was stopped before is not audited."""
        if self.engine.alive:
            for stream in self.streams:
                self.engine.cancel(stream.sequence)
            self.wait_for(self.idle)
            self.check()
            seen = self.cache.occupancy()
            assert self.on_engine(lambda: self.cache.reserve(seen.total)), "pages are still promised"
        self.engine.stop()


def make_rig(
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
) -> Rig:
    pool = PagePool(model.page_shape, pages + 1, model.device)
    cache = KVCache(pool, PrefixIndex(root_key(model.fingerprint)))
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
    return Rig(engine, cache)
