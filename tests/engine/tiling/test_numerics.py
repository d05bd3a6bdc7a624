from __future__ import annotations

from kvproxy.engine.tiling.numerics import Numerics

ANY = Numerics(largest=256, exact=True, kernel="own")
SIZES = Numerics(largest=128, exact=False, kernel="graphs", sizes=(16, 64, 128))


def test_a_tile_has_its_rows_or_the_next_size() -> None:
    assert [ANY.tile_for(n) for n in (1, 17, 256)] == [1, 17, 256]
    assert [SIZES.tile_for(n) for n in (1, 16, 17, 128)] == [16, 16, 64, 128]


def test_prompts_choose_among_halves_or_sizes() -> None:
    assert ANY.choices(9) == [256, 128, 64, 32, 16]
    assert SIZES.choices(17) == [128, 64]


def test_the_log_says_what_is_known() -> None:
    assert ANY.describe() == "exact: own, tiles of up to 256 rows"
    assert SIZES.describe() == "NOT shown exact: graphs, tiles of 16/64/128 rows"
