from __future__ import annotations

import pytest
import torch

from kvproxy.engine.forward.padded_rows import in_chunks


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 40])
def test_every_call_has_the_same_number_of_rows(rows: int) -> None:
    seen = []

    def double(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.shape)
        return 2 * x

    x = torch.randn(rows, 3)
    assert torch.equal(in_chunks(double, x, 16), 2 * x)
    assert set(seen) == {(16, 3)}
