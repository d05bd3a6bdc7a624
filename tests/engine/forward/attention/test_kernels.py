from __future__ import annotations

import pytest
import torch

from kvproxy.engine.forward.attention.kernels import KERNELS, SCORES, Kernel, open_kernel, pick_kernel

CPU = torch.device("cpu")
HERE = [name for name in (SCORES, *KERNELS) if name != SCORES or pick_kernel(CPU) == SCORES]


def call(
    kernel: Kernel, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    weighted_sum = torch.empty(1, *q.shape, dtype=k.dtype)
    row_max, exp_sum = torch.empty(1, *q.shape[:2]), torch.empty(1, *q.shape[:2])
    kernel(q[None], k, v, None if mask is None else mask[None, None], weighted_sum, row_max, exp_sum)
    return weighted_sum[0], row_max[0], exp_sum[0]


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("rows", [4, 36, 196, 768])
def test_a_partial_result_is_the_softmax_in_base_two(name: str, dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    q = torch.randn(3, rows, 16, generator=generator)
    k, v = (torch.randn(3, 512, 16, generator=generator).to(dtype) for _ in range(2))
    mask = torch.zeros(rows, 128).masked_fill_(
        torch.rand(rows, 128, generator=generator) < 0.3, float("-inf")
    )
    kernel = open_kernel(name, kv_heads=3, head_dim=16, dtype=dtype)
    loose = 1e-4 if name == SCORES else 5e-2  # The others round queries to bf16.
    for hidden in (None, mask):
        weighted_sum, row_max, exp_sum = call(kernel, q, k, v, hidden)
        scores = q.double() @ k.double().transpose(1, 2)
        if hidden is not None:
            scores[..., -128:] += hidden
        weights = torch.softmax(scores * torch.log(torch.tensor(2.0)), -1)
        tolerance = 1e-4 if dtype is torch.float32 else 2e-2
        assert torch.allclose(
            weighted_sum.double() / exp_sum.unsqueeze(-1), weights @ v.double(), atol=tolerance
        )
        lse = torch.logsumexp(scores * torch.log(torch.tensor(2.0)), -1) / torch.log(torch.tensor(2.0))
        assert torch.allclose(
            row_max + exp_sum.log2(), lse.float(), atol=loose if dtype is torch.bfloat16 else 1e-4
        )


@pytest.mark.skipif(SCORES not in HERE, reason="this CPU uses another kernel")
def test_scores_far_from_zero_are_as_exact_as_others() -> None:
    """Queries that meet one key at 900 and the next at 901: bf16 scores would not tell them apart."""
    kernel = open_kernel(SCORES, kv_heads=1, head_dim=16, dtype=torch.bfloat16)
    q = torch.full((1, 4, 16), 7.5)
    k = torch.full((1, 128, 16), 7.0)
    k[0, 5] = 7.5
    k[0, 6, 0] = 7.25
    v = torch.eye(128, 16)[None]
    weighted_sum, row_max, exp_sum = call(kernel, q, k.bfloat16(), v.bfloat16(), None)
    assert row_max[0, 0] == 900.0 and exp_sum[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert torch.equal(weighted_sum[0, 0].argmax(), torch.tensor(5))
    k[0, 5] = 7.0
    _, row_max, exp_sum = call(kernel, q, k.bfloat16(), v.bfloat16(), None)
    assert row_max[0, 0] == 841.875 and exp_sum[0, 0] == pytest.approx(1 + 127 * 2**-1.875, rel=1e-5)


@pytest.mark.skipif(SCORES not in HERE, reason="this CPU uses another kernel")
def test_scratch_memory_does_not_grow_with_the_calls() -> None:
    kernel = open_kernel(SCORES, kv_heads=2, head_dim=8, dtype=torch.bfloat16)
    q, kv = torch.randn(2, 2048, 8), torch.randn(2, 1024, 8).bfloat16()
    call(kernel, q, kv, kv, None)
    memory = {name: m.data_ptr() for name, m in kernel._memory.items()}  # type: ignore[attr-defined]  # ScoresCpu
    for rows in (4, 2048, 64, 320):
        for length in (128, 1024):
            call(kernel, q[:, :rows], kv[:, :length], kv[:, :length], None)
    assert memory == {name: m.data_ptr() for name, m in kernel._memory.items()}  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_stretches_of_one_call_have_results_of_their_own(name: str, dtype: torch.dtype) -> None:
    """With the same queries for all, and with their own; more of them than are computed at a time."""
    generator, stretches = torch.Generator().manual_seed(4), 19
    kernel = open_kernel(name, kv_heads=2, head_dim=16, dtype=dtype)
    k, v = (torch.randn(2, stretches * 256, 16, generator=generator).to(dtype) for _ in range(2))
    for count in (1, stretches):
        q = torch.randn(count, 2, 12, 16, generator=generator)
        mask = torch.zeros(count, 1, 12, 128)
        mask[..., 100:] = float("-inf")
        for hidden in (None, mask):
            weighted_sum = torch.empty(stretches, 2, 12, 16, dtype=dtype)
            row_max, exp_sum = torch.empty(2, stretches, 2, 12)
            kernel(q, k, v, hidden, weighted_sum, row_max, exp_sum)
            for i in range(stretches):
                own, where = min(i, count - 1), slice(256 * i, 256 * (i + 1))
                seen = None if hidden is None else hidden[own, 0]
                apart = call(kernel, q[own], k[:, where], v[:, where], seen)
                assert all(
                    torch.equal(a, b[i]) for a, b in zip(apart, (weighted_sum, row_max, exp_sum), strict=True)
                )


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize(("stretches", "parts"), [(1, 4), (3, 12), (19, 19)])
def test_positions_in_parts_give_the_same_bits(
    name: str, dtype: torch.dtype, stretches: int, parts: int
) -> None:
    """Pages that are no neighbours; some of them are met twice."""
    generator = torch.Generator().manual_seed(parts)
    pool = torch.randn(2, 3, 24 * 32, 16, generator=generator).to(dtype)
    where = [(7 * i) % 24 * 32 for i in range(parts)]
    pieces = [tuple(x[:, at : at + 32] for at in where) for x in pool]
    q = torch.randn(1, 3, 8, 16, generator=generator)
    found = []
    for k, v in (pieces, [torch.cat(x, 1) for x in pieces]):
        weighted_sum = torch.empty(stretches, 3, 8, 16, dtype=dtype)
        row_max, exp_sum = torch.empty(2, stretches, 3, 8)
        open_kernel(name, kv_heads=3, head_dim=16, dtype=dtype)(q, k, v, None, weighted_sum, row_max, exp_sum)
        found.append((weighted_sum, row_max, exp_sum))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
