"""The table of blocks against a dictionary, through growth, removal and moves."""

from __future__ import annotations

import random

import pytest

from kvproxy.residency import block_table
from kvproxy.residency.block_table import BlockTable


@pytest.mark.parametrize("seed", range(8))
def test_it_is_a_dictionary(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_table, "_PIECE", 16 if seed % 2 else 8192)
    monkeypatch.setattr(block_table, "_LEAST_BITS", 4)
    source, table, model = random.Random(seed), BlockTable(), dict[int, int]()
    keys = [source.getrandbits(64) for _ in range(600)]
    moved = False
    for _ in range(300):
        some = source.sample(keys, source.randrange(1, 80))
        number = source.randrange(4)
        table.change(some, lambda before, number=number: number)  # type: ignore[misc]  # its default binds now
        model.update(dict.fromkeys(some, number))
        moved = moved or table.moving
        asked = source.choices(keys, k=source.randrange(1, 90))
        expected = [model.get(key, 0) for key in asked]
        begins = [n for n, it in enumerate(expected) if n == 0 or it != expected[n - 1]]
        assert table.runs(asked) == [(n, expected[n]) for n in begins]
        assert [table.get_one(key) for key in asked] == expected
    assert len(table) == sum(map(bool, model.values()))
    assert table.replaced > 2
    assert moved or seed % 2 == 0


def test_churn_keeps_its_size() -> None:
    """Blocks that come and go leave no place behind for good."""
    table = BlockTable()
    for begin in range(0, 200_000, 1_000):
        blocks = range(begin + 1, begin + 1_001)
        table.change(blocks, lambda _: 5)
        table.change(blocks, lambda _: 0)
    assert len(table) == 0
    assert table.bytes < 200_000


def test_repeated_blocks_and_zero_are_taken_once() -> None:
    table = BlockTable()
    seen: list[int] = []

    def turn(before: int) -> int:
        seen.append(before)
        return before + 1

    table.change([0, 7, 7, 0], turn)
    assert (len(table), seen) == (2, [0, 0])
    assert (table.get_one(0), table.get_one(7), table.get_one(8)) == (1, 1, 0)
    table.change([7] * 100, turn)
    assert table.get_one(7) == 2
    assert table.runs([]) == []


def test_a_sweep_turns_every_number_and_ends() -> None:
    table = BlockTable()
    blocks = list(range(1, 50_001))
    table.change(blocks, lambda _: 3)
    while table.moving:
        table.move_on()
    at: int | None = 0
    pieces = 0
    while at is not None:
        at, pieces = table.sweep(at, lambda number: 0 if number == 3 else number), pieces + 1
    assert len(table) == 0 and pieces > 5
