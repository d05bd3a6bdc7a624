"""The work of a step, counted another way, and this machine's ceilings."""

from __future__ import annotations

import pytest
import torch

from kvproxy.bench.engine.ceilings import Ceilings, Product, measure_ceilings, work_of
from kvproxy.bench.engine.random_models import SHAPES, random_module
from kvproxy.engine.forward.tile_model import TileModel, from_module


@pytest.fixture(scope="module")
def model() -> TileModel:
    return from_module(random_module(SHAPES["tiny"]), "tiny")


def test_work_is_the_models(model: TileModel) -> None:
    shape, work = SHAPES["tiny"], work_of(model)
    matrices = [p for n, p in random_module(shape).named_parameters() if p.dim() == 2 and "embed" not in n]
    assert work.layer_weights == sum(p.numel() for p in matrices)
    assert work.head_weights == 512 * 64
    assert (work.layers, work.heads, work.kv_heads, work.head_dim, work.item_bytes) == (2, 4, 2, 16, 2)


def test_prefill_counts_every_pair_of_positions_once(model: TileModel) -> None:
    work = work_of(model)
    pairs = sum(1 for i in range(10) for j in range(10) if j <= i)
    # A score and a weighted value: a multiplication and an addition for each of a head's numbers.
    attention = pairs * 2 * 2 * work.head_dim * work.heads * work.layers
    assert work.prefill_flop(10) == 2 * work.layer_weights * 10 + attention + 2 * work.head_weights


def test_decode_reads_every_weight_and_all_kv_once(model: TileModel) -> None:
    work = work_of(model)
    page = model.page_shape.bytes
    assert work.decode_bytes(256) - work.decode_bytes(0) == page
    assert work.decode_bytes(0) == 2 * (work.layer_weights + work.head_weights)


def test_ceilings_are_the_best_that_was_seen(model: TileModel) -> None:
    seen = measure_ceilings(model, seconds=0.001)
    assert seen.copy_gbs > 0.1 and seen.read_gbs > 0.1
    assert {p.name for p in seen.products} == {"torch", "tile"}
    assert all(p.gflops > 0 for p in seen.products)
    sizes = {(p.inner, p.columns) for p in seen.products if p.name == "tile"}
    assert sizes == {(x.in_features, x.out_features) for x in model.tiles.linears()}
    known = Ceilings(10.0, 12.0, (Product("a", 1, 1, 1, 5.0), Product("b", 1, 1, 1, 7.0)))
    assert (known.bandwidth, known.compute) == (12e9, 7e9)


def test_float32_weights_are_twice_as_many_bytes() -> None:
    model = from_module(random_module(SHAPES["tiny"], torch.float32), "tiny32")
    assert work_of(model).item_bytes == 4
