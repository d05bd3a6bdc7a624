from __future__ import annotations

import threading

import pytest
import torch

from kvproxy.engine.cache.page_layout import RowMajorLayout


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_positions_go_in_and_come_out_and_the_others_keep_their_numbers(dtype: torch.dtype) -> None:
    layout, kv = RowMajorLayout(), torch.ones(2, 2, 3, 4, 256, 8, dtype=dtype)
    rows = torch.randn(2, 2, 3, 40, 8).to(dtype)
    writer = threading.Thread(target=layout.write, args=(kv, 2, rows))
    writer.start()
    writer.join()
    found = torch.empty_like(rows)
    layout.read(kv, 2, found)
    assert torch.equal(found, rows)
    assert (kv[:, :, :, 2, 40:] == 1).all() and all((kv[:, :, :, page] == 1).all() for page in (0, 1, 3))
    kv[:, :, :, 3].zero_()
    layout.copy_prefix(kv, 2, 3, 7)
    assert torch.equal(kv[:, :, :, 3, :7], rows[..., :7, :]) and not kv[:, :, :, 3, 7:].any()


def test_one_layer_alone_is_written() -> None:
    kv = torch.zeros(3, 2, 1, 2, 256, 4)
    rows = torch.randn(1, 2, 1, 256, 4)
    RowMajorLayout().write(kv[1:2], 1, rows)
    assert torch.equal(kv[1:2, :, :, 1], rows) and not kv[0].any() and not kv[2].any()
