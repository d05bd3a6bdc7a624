from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.engine.decode.speculation import RETRY, TRIAL, Drafter, share, worth

PROMPT = [*range(100, 140), 1, 2, 3]
QUOTING = [*PROMPT, 100, 101, 102, 103]
"""An answer that quotes its prompt from the beginning."""


def propose(drafter: Drafter, tokens: Sequence[int], most: int = 15, **fields: float) -> tuple[int, ...]:
    return drafter.propose(tokens, most, row_cost=fields.get("row_cost", 0.01), streams=1)


class TestWorth:
    def test_certain_tokens_take_all_rows_and_impossible_ones_none(self) -> None:
        assert worth(1.0, 15, 0.01, 1) == 15
        assert worth(0.0, 15, 0.0, 1) == 0
        assert worth(1.0, 0, 0.0, 1) == 0

    def test_what_costs_more_than_it_gives_is_not_drafted(self) -> None:
        assert worth(0.5, 15, 0.6, 1) == 0
        assert 0 < worth(0.5, 15, 0.05, 1) < worth(0.9, 15, 0.05, 1)

    def test_in_company_a_step_is_worth_more_so_that_rows_must_be_surer(self) -> None:
        assert worth(0.6, 12, 0.05, 1) > worth(0.6, 12, 0.05, 4)

    @given(rate=st.floats(0, 1), most=st.integers(0, 15), cost=st.floats(0, 1), streams=st.integers(1, 15))
    def test_no_other_number_of_rows_gives_more(
        self, rate: float, most: int, cost: float, streams: int
    ) -> None:
        def tokens_per_time(k: int) -> float:
            gain = sum(rate**i for i in range(1, k + 1))
            return (streams + gain) / (1 + (0.02 + k * cost if k else 0))

        best = max(tokens_per_time(k) for k in range(most + 1))
        assert tokens_per_time(worth(rate, most, cost, streams)) == pytest.approx(best)


class TestShare:
    @pytest.mark.parametrize(
        "wanted, rows, given",
        [
            ([], 9, []),
            ([15], 15, [15]),
            ([15, 15], 14, [7, 7]),
            ([15, 2, 15], 13, [6, 2, 5]),
            ([0, 3], 14, [0, 3]),
            ([5, 5, 5], 2, [1, 1, 0]),
        ],
    )
    def test_it_is_fair(self, wanted: list[int], rows: int, given: list[int]) -> None:
        assert share(wanted, rows) == given


class TestDrafter:
    def test_it_drafts_what_the_prompt_goes_on_with(self) -> None:
        draft = propose(Drafter(PROMPT), QUOTING)
        assert len(draft) >= 4 and draft == tuple(range(104, 104 + len(draft)))
        assert propose(Drafter(PROMPT), QUOTING, most=2) == (104, 105)

    def test_success_makes_drafts_longer_and_failure_shorter(self) -> None:
        lucky, unlucky = Drafter(PROMPT), Drafter(PROMPT)
        first = len(propose(lucky, QUOTING, row_cost=0.05))
        propose(unlucky, QUOTING)
        lucky.learn(15, missed=False)
        unlucky.learn(0, missed=True)
        assert len(propose(lucky, QUOTING, row_cost=0.05)) > first
        assert len(propose(unlucky, QUOTING, row_cost=0.05)) < first

    def test_it_stops_where_nothing_is_accepted_and_tries_again_now_and_then(self) -> None:
        drafter, tokens, drafted = Drafter(PROMPT), list(QUOTING), []
        for step in range(8 * RETRY):
            draft = propose(drafter, tokens, row_cost=0.03)
            if draft:
                drafted.append((step, len(draft)))
                drafter.learn(0, missed=True)
            tokens += [101, 102][step % 2 : step % 2 + 1]  # Pairs that were there before, always.
        late = [(step, rows) for step, rows in drafted if step > 2 * RETRY]
        assert 3 <= len(late) <= 7 * 3
        assert all(rows <= TRIAL for _, rows in late)

    def test_it_takes_up_again_what_pays_again(self) -> None:
        drafter, tokens = Drafter(PROMPT), list(QUOTING)
        for _ in range(30):
            if propose(drafter, tokens, row_cost=0.05):
                drafter.learn(0, missed=True)
        assert propose(drafter, tokens, row_cost=0.05) == ()
        tokens += [9] * RETRY + [100, 101, 102, 103]
        assert 0 < len(propose(drafter, tokens, row_cost=0.05)) <= TRIAL
        drafter.learn(TRIAL, missed=False)
        for _ in range(4):
            propose(drafter, tokens, row_cost=0.05)
            drafter.learn(TRIAL, missed=False)
        assert len(propose(drafter, tokens, row_cost=0.05)) > TRIAL

    def test_rows_that_cost_too_much_are_not_drafted(self) -> None:
        drafter = Drafter(PROMPT)
        propose(drafter, QUOTING, row_cost=5.0)  # The first try, to know better.
        drafter.learn(0, missed=True)
        assert propose(drafter, QUOTING, row_cost=5.0) == ()

    def test_a_prediction_is_a_source_too(self) -> None:
        drafter = Drafter([1, 2, 3], predicted=[50, 51, 52, 53, 54])
        assert propose(drafter, [1, 2, 3, 50], most=4) == (51, 52, 53, 54)

    def test_what_is_drafted_out_of_the_prediction_is_counted(self) -> None:
        drafter = Drafter(PROMPT, predicted=[50, 51, 52, 53, 54])
        assert propose(drafter, [*PROMPT, 50], most=4) == (51, 52, 53, 54)
        drafter.learn(3, missed=True, rejected=1)
        assert drafter.prediction == (3, 1)
        assert propose(drafter, [*PROMPT, 50, 100, 101, 102], most=1) == (103,)
        drafter.learn(1, missed=False)
        assert drafter.prediction == (3, 1), "this one came out of the prompt"
