"""The work of a step, counted another way, and this machine's ceilings."""

from __future__ import annotations

import pytest
import torch

from kvproxy.bench.engine.ceilings import (
    Ceilings,
    CeilingWork,
    Product,
    layer_linears,
    measure_ceilings,
    work_of,
)
from kvproxy.bench.engine.random_models import SHAPES, random_module
from kvproxy.engine.forward.tile_model import from_module
from kvproxy.engine.native.kernel_library import NoKernels, load_kernels


@pytest.fixture(scope="module")
def work() -> CeilingWork:
    module = random_module(SHAPES["tiny"])
    return work_of(module, module.config)


def test_work_is_the_models(work: CeilingWork) -> None:
    shape = SHAPES["tiny"]
    matrices = [p for n, p in random_module(shape).named_parameters() if p.dim() == 2 and "embed" not in n]
    assert work.layer_weights == sum(p.numel() for p in matrices)
    assert work.head_weights == 512 * 64
    assert (work.layers, work.heads, work.kv_heads, work.head_dim, work.item_bytes) == (2, 4, 2, 16, 2)


def test_prefill_counts_every_pair_of_positions_once(work: CeilingWork) -> None:
    pairs = sum(1 for i in range(10) for j in range(10) if j <= i)
    # A score and a weighted value: a multiplication and an addition for each of a head's numbers.
    attention = pairs * 2 * 2 * work.head_dim * work.heads * work.layers
    assert work.prefill_flop(10) == 2 * work.layer_weights * 10 + attention + 2 * work.head_weights


def test_decode_reads_every_weight_and_all_kv_once(work: CeilingWork) -> None:
    page = from_module(random_module(SHAPES["tiny"]), "tiny").page_shape.bytes
    assert work.decode_bytes(256) - work.decode_bytes(0) == page
    assert work.decode_bytes(0) == 2 * (work.layer_weights + work.head_weights)


def test_ceilings_are_the_best_that_was_seen() -> None:
    module = random_module(SHAPES["tiny"])
    shapes = {(x.in_features, x.out_features) for x in layer_linears(module)}
    assert shapes == {(64, 64), (64, 32), (64, 96), (96, 64)}
    seen = measure_ceilings(shapes, torch.bfloat16, seconds=0.001)
    assert seen.copy_gbs > 0.1 and seen.read_gbs > 0.1
    assert all(p.gflops > 0 for p in seen.products)
    assert {(p.inner, p.columns) for p in seen.products} == shapes | {(4096, 4096)}
    # Where a processor has no bf16 products, the bound is that of float32; a fast product of ours raises it.
    torchs = {"torch, bfloat16", "torch, float32"}
    ours = set() if isinstance(load_kernels(), NoKernels) else {"native, bfloat16"}
    assert {p.by for p in seen.products} == torchs | ours
    known = Ceilings(10.0, 12.0, (Product("a", 1, 1, 1, 5.0), Product("b", 1, 1, 1, 7.0)))
    assert (known.bandwidth, known.compute) == (12e9, 7e9)


def test_float32_weights_are_twice_as_many_bytes() -> None:
    module = random_module(SHAPES["tiny"], torch.float32)
    assert work_of(module, module.config).item_bytes == 4
