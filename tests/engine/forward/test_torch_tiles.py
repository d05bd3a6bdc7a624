from __future__ import annotations

import pytest
import torch

from kvproxy.engine.forward.tile_model import from_module
from kvproxy.engine.forward.torch_tiles import HEAD_ROWS, ROWS
from kvproxy.engine.tiling.segment import Segment
from tests.engine.tiny import DEVICE, make_module, prompt
from tests.engine.torch_only import torch_only

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="the CPU's kernels")


@torch.inference_mode()
def test_every_tile_has_as_many_rows_and_the_padding_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_only(monkeypatch)
    model = from_module(make_module("llama", torch.float32), "llama")
    assert model.numerics.sizes == (ROWS,)
    pool, ids = model.pool(3), prompt(1, 5)
    tile = model.tiles.tile(ids, range(5), [Segment(0, 0, 5, [1])])
    hidden = model.tiles.run(tile, pool.kv)
    assert tile.written == 5 and len(hidden) == ROWS
    assert pool.rows(1, 5).any(dim=-1).all() and not pool.rows(1)[..., 5:, :].any()
    assert not pool.rows(0).any() and not pool.rows(2).any()
    logits = model.logits(hidden[: HEAD_ROWS + 3])
    assert logits.dtype == torch.float32
    assert torch.equal(model.logits(hidden[HEAD_ROWS : HEAD_ROWS + 3]), logits[HEAD_ROWS:])
