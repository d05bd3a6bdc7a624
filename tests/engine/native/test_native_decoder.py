"""The native decoder: near transformers' own logits, and the same bits for a row in any tile, page and team."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PageShape
from kvproxy.engine.native.kernel_library import Kernels, load_kernels
from kvproxy.engine.native.native_decoder import NativeDecoder, pack_decoder, runs_natively
from kvproxy.engine.native.native_tile import NativeTile, lay_out
from kvproxy.engine.native.signatures import KernelCallError
from kvproxy.engine.tiling.segment import Segment
from tests.engine.native.families import FAMILY_FIELDS, VOCAB

TOKENS = 600
PAGES = 12


class _Rig:
    """A tiny random model of one family, in the native library and in transformers in float32."""

    def __init__(self, kind: str, dtype: torch.dtype) -> None:
        torch.manual_seed(5)
        self.config: Any = CONFIG_MAPPING[kind](**FAMILY_FIELDS[kind])
        model = AutoModelForCausalLM.from_config(self.config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.uniform_(0.5, 1.5)
                elif name.endswith("bias"):
                    parameter.uniform_(-0.5, 0.5)
                parameter.copy_(parameter.to(dtype))
        model.requires_grad_(False).eval()
        self.ids = torch.randint(VOCAB, (TOKENS,)).tolist()
        with torch.inference_mode():
            self.reference = model(torch.tensor([self.ids])).logits[0]
        for parameter in model.parameters():
            parameter.data = parameter.data.to(dtype)
        dim = int(self.config.head_dim)
        self.shape = PageShape(self.config.num_hidden_layers, self.config.num_key_value_heads, dim, dtype)
        kernels = load_kernels()
        assert isinstance(kernels, Kernels)
        assert runs_natively(self.config, dtype)
        weights = pack_decoder(
            kernels, model.get_decoder(), model.get_output_embeddings(), self.config, self.shape
        )
        self.decoder = NativeDecoder(kernels, weights)
        self.kv = self.pool()

    def pool(self) -> torch.Tensor:
        s = self.shape
        return torch.zeros(s.layers, 2, s.kv_heads, PAGES, PAGE_TOKENS, s.head_dim, dtype=s.dtype)

    def tile(self, parts: Sequence[tuple[int, int, Sequence[int]]]) -> NativeTile:
        """A tile of parts (first position, end, pages) of the prompt."""
        ids: list[int] = []
        positions: list[int] = []
        segments = []
        for start, end, pages in parts:
            at = start
            while at < end:
                count = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
                segments.append(Segment(len(ids) + at - start, at, count, pages))
                at += count
            ids += self.ids[start:end]
            positions += range(start, end)
        return lay_out(ids, positions, segments, hidden=self.config.hidden_size, head_dim=self.shape.head_dim)

    def run(self, kv: torch.Tensor, *parts: tuple[int, int, Sequence[int]]) -> torch.Tensor:
        tile = self.tile(parts)
        self.decoder.step(tile, kv, 0, self.decoder.layers)
        return tile.hidden

    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states and pages of the prompt in one tile."""
        kv = self.pool()
        return self.run(kv, (0, TOKENS, [1, 2, 3])), kv


@pytest.fixture(
    scope="module",
    params=[
        ("llama", torch.bfloat16),
        ("qwen2", torch.bfloat16),
        ("qwen3", torch.bfloat16),
        ("mistral", torch.float32),
        ("smollm3", torch.bfloat16),
        ("qwen3", torch.float16),
        ("llama", torch.float32),
    ],
    ids=lambda p: f"{p[0]}-{str(p[1]).removeprefix('torch.')}",
)
def rig(request: pytest.FixtureRequest) -> _Rig:
    return _Rig(*request.param)


def test_its_logits_are_near_those_of_transformers_in_float32(rig: _Rig) -> None:
    hidden, _ = rig.whole()
    logits = rig.decoder.logits(hidden)
    spread = float(rig.reference.std())
    farthest = {torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.3}[rig.shape.dtype]
    assert float((logits - rig.reference).abs().max()) < farthest * spread


@pytest.mark.parametrize(
    "cuts", [(1, 2, 3, 256, 300), (255, 257), (37, 512, 599), tuple(range(13, TOKENS, 13))]
)
def test_a_prompt_cut_anywhere_gets_the_same_bits(rig: _Rig, cuts: tuple[int, ...]) -> None:
    hidden, kv = rig.whole()
    pages = [7, 4, 9]
    parts = [
        rig.run(rig.kv.zero_() if first == 0 else rig.kv, (first, end, pages))
        for first, end in pairwise((0, *cuts, TOKENS))
    ]
    assert torch.equal(torch.cat(parts), hidden)
    assert torch.equal(rig.decoder.logits(torch.cat(parts)), rig.decoder.logits(hidden))
    for ours, theirs in zip(pages, (1, 2, 3), strict=True):
        assert torch.equal(rig.kv[:, :, :, ours], kv[:, :, :, theirs])


def test_a_row_beside_mates_gets_the_same_bits(rig: _Rig) -> None:
    hidden, kv = rig.whole()
    # A reader of the first two pages, a stranger's prompt from its beginning, and a decode row of a third sequence.
    own, other = [1, 2, 5], [8]
    kv[:, :, :, 6] = kv[:, :, :, 3]
    tile = rig.run(kv, (512, 560, own), (0, 100, other), (599, 600, [1, 2, 6]))
    assert torch.equal(tile[:48], hidden[512:560])
    assert torch.equal(tile[48:148], hidden[:100])
    assert torch.equal(tile[148], hidden[599])


@pytest.mark.parametrize("threads", [1, 3, 4])
def test_any_number_of_threads_gives_the_same_bits(rig: _Rig, threads: int) -> None:
    hidden, kv = rig.whole()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        again, other = rig.whole()
    finally:
        torch.set_num_threads(before)
    assert torch.equal(again, hidden) and torch.equal(other, kv)


def test_layers_one_by_one_beside_another_tile_give_the_same_bits(rig: _Rig) -> None:
    hidden, _ = rig.whole()
    kv = rig.pool()
    long, short = rig.tile([(0, 300, [1, 2])]), rig.tile([(0, 40, [5])])
    for layer in range(rig.decoder.layers):
        rig.decoder.step(long, kv, layer, layer + 1)
        rig.decoder.step(short, kv, layer, layer + 1)
    assert torch.equal(long.hidden, hidden[:300]) and torch.equal(short.hidden, hidden[:40])


@pytest.mark.parametrize(
    "parts",
    [[(0, 5, [0])], [(0, 5, [PAGES])], [(0, 5, [-1])], [(250, 260, [1])]],
    ids=["scratch page", "behind the pool", "negative", "short table"],
)
def test_a_page_outside_of_the_pool_is_refused(
    rig: _Rig, parts: list[tuple[int, int, Sequence[int]]]
) -> None:
    kv = rig.pool()
    with pytest.raises(KernelCallError):
        rig.run(kv, *parts)
    assert not kv.any()


def test_a_token_outside_of_the_vocabulary_is_refused(rig: _Rig) -> None:
    tile = rig.tile([(0, 5, [1])])
    tile.token_ids[3] = VOCAB
    with pytest.raises(KernelCallError, match="token"):
        rig.decoder.step(tile, rig.pool(), 0, rig.decoder.layers)
