from __future__ import annotations

import math

import pytest
import torch

from kvproxy.core import PAGE_TOKENS
from kvproxy.engine.bitwise import PageWatch, compare_rows, largest_of, total
from tests.engine.altered_page import alter_page
from tests.engine.harness import EngineHarness, HarnessMaker
from tests.engine.tiny import prompt


def itself(x: torch.Tensor) -> torch.Tensor:
    """A head whose logits are the hidden states."""
    return x.float()


def states() -> torch.Tensor:
    return torch.randn(6, 10, generator=torch.Generator().manual_seed(1))


def test_equal_bits_are_equal() -> None:
    got = compare_rows(states(), states(), itself)
    assert (got.positions, got.equal, got.equal_argmax, got.largest) == (6, 6, 6, 0.0)


def test_one_bit_is_a_difference() -> None:
    other = states()
    other[3, 4] = torch.nextafter(other[3, 4], torch.tensor(9.0))
    got = compare_rows(states(), other, itself)
    assert got.equal == 5 and 0 < got.largest < 1e-6


def test_another_likeliest_token_is_counted() -> None:
    other = torch.zeros(3, 4)
    other[1, 2] = 1.0
    got = compare_rows(torch.zeros(3, 4), other, itself)
    assert (got.equal, got.equal_argmax, got.largest) == (2, 2, 1.0)


def test_signs_of_zero_differ_and_a_nan_is_itself() -> None:
    assert compare_rows(torch.zeros(2, 4), -torch.zeros(2, 4), itself).equal == 0
    one = torch.full((2, 4), math.nan)
    assert compare_rows(one, one.clone(), itself).equal == 2
    got = compare_rows(one, torch.zeros(2, 4), itself)
    assert got.equal == 0 and math.isnan(got.largest)


@pytest.mark.parametrize(("rows", "others"), [(3, 2), (0, 0)])
def test_comparing_less_than_was_asked_is_an_error(rows: int, others: int) -> None:
    with pytest.raises(ValueError, match="compared"):
        compare_rows(torch.zeros(rows, 4), torch.zeros(others, 4), itself)


def test_pieces_add_up() -> None:
    other = states()
    other[0] += 0.5
    pieces = [compare_rows(states()[i : i + 2], other[i : i + 2], itself) for i in (0, 2, 4)]
    whole = total(pieces)
    assert (whole.positions, whole.equal) == (6, 5) and whole.largest == pytest.approx(0.5)
    assert math.isnan(largest_of([0.0, math.nan, 1.0])) and largest_of([]) == 0.0


def watched(rig: EngineHarness, tokens: tuple[int, ...], kept: int) -> PageWatch:
    """Compute ``tokens`` from scratch beside its kept pages."""
    with rig.cache.retain_match(tokens, ("public", "a")) as match:
        assert match.tokens == kept
        watch = PageWatch(rig.cache, match.nodes, kept)
        rig.cold(tokens, inspect=watch)
    return watch


def test_kept_pages_beside_recomputed_ones(rigs: HarnessMaker) -> None:
    rig = rigs(pages=32)
    tokens = prompt(3, 700)
    rig.run(tokens[:600], max_tokens=0)
    watch = watched(rig, tokens, 600)
    assert (watch.pages, watch.equal, watch.different, watch.error) == (3, 3, [], None)

    (node,) = [n for n in rig.cache.index if n.index == 1]
    page = node.page
    assert page is not None

    def change(rows: torch.Tensor) -> None:
        rows.view(torch.int16)[1, 0, 1, 77:79, 3].bitwise_xor_(1)

    rig.on_engine(lambda: alter_page(rig.cache.pool, page, change))
    watch = watched(rig, tokens, 600)
    assert (watch.pages, watch.equal) == (3, 2)
    (different,) = watch.different
    assert different.node is node and different.position == PAGE_TOKENS + 77
    assert 0 < different.largest < 1


def test_what_a_hit_does_not_take_is_not_compared(rigs: HarnessMaker) -> None:
    """Of a page that is used in part, the positions behind that part are another prompt's."""
    rig = rigs(pages=32)
    tokens = prompt(3, 500)
    rig.run((*tokens[:300], *prompt(4, 212)), max_tokens=0)
    watch = watched(rig, tokens, 300)
    assert (watch.pages, watch.equal) == (2, 2)
