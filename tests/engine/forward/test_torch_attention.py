from __future__ import annotations

import math

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.torch_attention import BLOCK, attend, blocks_of, write_kv
from kvproxy.engine.tiling.segment import Segment

KV_HEADS, GROUP, DIM = 2, 3, 16
PAGES = [4, 1, 3]
LENGTH = 2 * PAGE_TOKENS + 70


def segments(start: int, count: int, row: int = 0) -> list[Segment]:
    """Rows of one sequence, cut at the ends of its pages."""
    found, at, end = [], start, start + count
    while at < end:
        step = min(end - at, PAGE_TOKENS - at % PAGE_TOKENS)
        found.append(Segment(row + at - start, at, step, PAGES))
        at += step
    return found


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def tensors(request: pytest.FixtureRequest) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values of LENGTH rows."""
    generator = torch.Generator().manual_seed(1)
    sizes = (KV_HEADS * GROUP, KV_HEADS, KV_HEADS)
    return tuple(torch.randn(LENGTH, n, DIM, generator=generator).to(request.param) for n in sizes)


def pages_of(k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    kv = torch.zeros(2, KV_HEADS, 6, PAGE_TOKENS, DIM, dtype=k.dtype)
    write_kv(kv, segments(0, len(k)), k, v)
    return kv


def test_it_is_causal_softmax_attention(tensors: tuple[torch.Tensor, ...]) -> None:
    q, k, v = tensors
    kv = pages_of(k, v)
    got = attend(kv, segments(0, LENGTH), q, DIM**-0.5)
    keys, values = (x.double().repeat_interleave(GROUP, dim=1) for x in (k, v))
    scores = torch.einsum("ihd,jhd->hij", q.double(), keys) / math.sqrt(DIM)
    scores.masked_fill_(torch.ones(LENGTH, LENGTH).triu(1).bool(), float("-inf"))
    expected = torch.einsum("hij,jhd->ihd", scores.softmax(-1), values)
    assert torch.allclose(got.double(), expected, atol=1e-5 if q.dtype == torch.float32 else 1e-2)


def test_a_row_has_its_bits_in_any_part_of_its_sequence(tensors: tuple[torch.Tensor, ...]) -> None:
    q, k, v = tensors
    kv = pages_of(k, v)
    whole = attend(kv, segments(0, LENGTH), q, 0.3)
    for start, count in ((0, 1), (15, 2), (250, 20), (511, 1), (512, 70), (LENGTH - 1, 1), (37, 300)):
        shifted = torch.cat((q[:5], q[start : start + count]))
        part = attend(kv, segments(start, count, row=5), shifted, 0.3)
        assert torch.equal(part[5:], whole[start : start + count]), (start, count)
        assert not part[:5].any(), "rows of no segment"


def test_blocks_begin_at_multiples_of_their_size() -> None:
    blocks = list(blocks_of([Segment(3, 10, 40, PAGES)]))
    assert [(b.row, b.start, b.count) for b in blocks] == [(3, 10, 6), (9, 16, 16), (25, 32, 16), (41, 48, 2)]
    assert BLOCK == 16
