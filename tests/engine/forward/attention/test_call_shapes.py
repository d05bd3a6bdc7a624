from __future__ import annotations

import pytest

from kvproxy.engine.forward.attention.call_shapes import padded, split, widths


@pytest.mark.parametrize("granule", [4, 16, 64])
def test_every_call_has_a_width_that_is_measured(granule: int) -> None:
    known = set(widths(granule, 2048))
    for columns in range(1, 1500):
        width = padded(columns, granule)
        assert width >= columns and width in known and width - columns < 64
    for columns in range(granule, 2048, granule):
        for most in (16, 48, 112, 128, 320):
            if most % granule == 0:
                blocks = split(columns, most)
                assert sum(blocks) == columns and set(blocks) <= known and max(blocks) <= most


def test_there_are_few() -> None:
    assert len(widths(4, 768)) == 30
    assert widths(64, 256) == [64, 128, 192, 256]
    assert split(768, 320) == [320, 320, 128]
    assert split(196, 320) == [192, 4]
