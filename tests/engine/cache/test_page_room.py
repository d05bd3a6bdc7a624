from __future__ import annotations

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.cache.page_pool import PagePool, PageShape
from kvproxy.engine.cache.page_room import PageRoom

SHAPE = PageShape(3, 2, 16, torch.bfloat16)


@pytest.mark.parametrize("positions", [1, 40, PAGE_TOKENS])
def test_layers_land_in_their_page_and_nowhere_else(positions: int) -> None:
    pool = PagePool(SHAPE, 3, torch.device("cpu"))
    rows = torch.randn(3, 2, 2, positions, 16).to(torch.bfloat16)
    payload = rows.view(torch.uint8).numpy().tobytes()
    room = PageRoom(pool, 2, positions, memoryview(bytearray(SHAPE.bytes // 3)))
    size = len(payload) // 3
    for layer in (0, 1, 2):
        room.room(layer, size)[:] = payload[layer * size : (layer + 1) * size]
        room.filled(layer)
    assert torch.equal(pool.rows(2, positions), rows)
    assert not pool.rows(1).any() and not pool.rows(2)[..., positions:, :].any()


def test_a_layer_of_another_form_is_refused() -> None:
    room = PageRoom(PagePool(SHAPE, 2, torch.device("cpu")), 1, 40, memoryview(bytearray(SHAPE.bytes // 3)))
    right = SHAPE.bytes_of(40) // 3
    for layer, size in ((0, right + 2), (0, right - 2), (3, right)):
        with pytest.raises(ValueError, match="a page here has"):
            room.room(layer, size)
