"""Layer 0 from token ids has the bits of a prefill, wherever the page stands."""

from __future__ import annotations

import threading

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.forward.tile_model import TileModel
from kvproxy.engine.native.first_layer import FirstLayer
from kvproxy.engine.tiling.segment import Segment
from tests.engine.tiny import VOCAB, make_model, prompt

TOKENS = 700


def prefilled(model: TileModel, token_ids: tuple[int, ...]) -> list[bytes]:
    """Layer 0 of each page, as a prefill writes it."""
    pool = model.pool(5)
    pages = [pool.allocate() for _ in range(3)]
    for start in range(0, len(token_ids), PAGE_TOKENS):
        ids = token_ids[start : start + PAGE_TOKENS]
        tile = model.tiles.tile(ids, range(start, start + len(ids)), [Segment(0, start, len(ids), pages)])
        model.tiles.run(tile, pool.kv)
    counts = [min(PAGE_TOKENS, len(token_ids) - i * PAGE_TOKENS) for i in range(3)]
    size = model.page_shape.layers
    return [
        pool.read(p, n)[: model.page_shape.bytes_of(n) // size] for p, n in zip(pages, counts, strict=True)
    ]


def first_layer(model: TileModel) -> FirstLayer:
    found = model.first_layer()
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_every_bit_is_that_of_a_prefill_and_the_place_is_found(kind: str, dtype: torch.dtype) -> None:
    model = make_model(kind, dtype)
    first, ids = first_layer(model), prompt(3, TOKENS)
    key = model.page_shape.head_dim * dtype.itemsize
    for i, kept in enumerate(prefilled(model, ids)):
        start = i * PAGE_TOKENS
        page = ids[start : start + PAGE_TOKENS]
        assert first.rows(page, start) == kept
        assert first.start_of(page[0], kept[:key]) == start
        assert first.rows(page[:1], start) != kept[: len(first.rows(page[:1], start + PAGE_TOKENS))]


def test_a_far_place_is_found_as_well() -> None:
    model = make_model("llama", torch.bfloat16)
    first, key = first_layer(model), 16 * 2
    for start in (PAGE_TOKENS * n for n in (5, 31, 127)):
        assert first.start_of(7, first.rows((7,), start)[:key]) == start


def test_ids_and_places_of_no_page_are_refused() -> None:
    first = first_layer(make_model("llama", torch.bfloat16))
    for ids, start in (((VOCAB,), 0), ((-1,), 0), ((1,), 17), ((1,), 2**31), ((1,), -PAGE_TOKENS)):
        with pytest.raises(ValueError):
            first.rows(ids, start)


def test_threads_ask_beside_each_other_and_beside_the_model() -> None:
    model = make_model("llama", torch.bfloat16)
    first, ids = first_layer(model), prompt(4, 256)
    wanted = first.rows(ids, 256)
    wrong: list[object] = []

    def ask() -> None:
        wrong.extend(1 for _ in range(10) if first.rows(ids, 256) != wanted)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    prefilled(model, prompt(5, TOKENS))
    for thread in threads:
        thread.join()
    assert wrong == []


def test_kernels_that_are_not_shown_exact_offer_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    model = make_model("llama", torch.bfloat16)
    monkeypatch.setattr(model.tiles, "numerics", replace(model.numerics, exact=False))
    assert model.first_layer() is None
