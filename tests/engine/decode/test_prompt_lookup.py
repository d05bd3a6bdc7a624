from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.engine.decode.prompt_lookup import LONGEST, SHORTEST, PromptLookup, RepeatMatch


def find(tokens: list[int], most: int = 4, **given: list[int]) -> RepeatMatch | None:
    lookup = PromptLookup(**given)
    lookup.follow(tokens)
    return lookup.find(most)


def test_what_followed_the_last_tokens_before() -> None:
    assert find([1, 2, 3, 4, 5, 9, 1, 2, 3]) == RepeatMatch(3, (4, 5, 9, 1))
    assert find([1, 2, 3, 4, 5, 9, 1, 2, 3], most=1) == RepeatMatch(3, (4,))


@pytest.mark.parametrize("tokens", [[], [1], [1, 1], [1, 2, 3, 4], [7, 1, 8, 1]])
def test_nothing_without_a_pair_that_was_there_before(tokens: list[int]) -> None:
    assert find(tokens) is None


def test_the_longer_match_wins_and_of_equal_ones_the_newer() -> None:
    assert find([7, 1, 2, 50, 8, 1, 2, 60, 7, 1, 2], most=1) == RepeatMatch(3, (50,))
    assert find([1, 2, 50, 8, 1, 2, 60, 9, 1, 2], most=1) == RepeatMatch(2, (60,))


def test_what_repeats_is_taken_to_go_on() -> None:
    assert find([9, 1, 2, 3, 1, 2, 3], most=7) == RepeatMatch(3, (1, 2, 3, 1, 2, 3, 1))
    assert find([5, 5, 5], most=3) == RepeatMatch(2, (5, 5, 5))


def test_a_prediction_is_found_from_its_beginning() -> None:
    prompt, predicted = [1, 2, 3], [40, 41, 42]
    lookup = PromptLookup(prompt, predicted)
    lookup.follow(prompt)
    assert lookup.find(9) == RepeatMatch(3, (40, 41, 42), predicted=True), "it does not go on into the prompt"
    lookup.follow([*prompt, 40])
    assert lookup.find(9) == RepeatMatch(4, (41, 42), predicted=True)
    lookup.follow([*prompt, 40, 41, 42])
    assert lookup.find(9) is None, "nothing is known behind its end"


def test_a_prediction_helps_after_a_detour() -> None:
    found = find([1, 2, 3, 77, 41, 42], prompt=[1, 2, 3], predicted=[40, 41, 42, 43])
    assert found == RepeatMatch(2, (43,), predicted=True)


def test_the_prediction_goes_before_an_equally_good_place_and_behind_a_better_one() -> None:
    prompt = [7, 8, 50, 51, 52, 9]
    expected = find([*prompt, 1, 50, 51], 1, prompt=prompt, predicted=[50, 51, 60])
    assert expected == RepeatMatch(2, (60,), predicted=True)
    assert find([*prompt, 8, 50, 51], 1, prompt=prompt, predicted=[50, 51, 60]) == RepeatMatch(3, (52,))
    at_its_end = find([*prompt, 1, 50, 51], 1, prompt=prompt, predicted=[60, 50, 51])
    assert at_its_end == RepeatMatch(2, (52,)), "where the prediction ends, the prompt goes on"


def test_no_match_begins_before_the_sequence() -> None:
    """The end of a prediction and the beginning of the prompt are no neighbours."""
    assert find([6, 7, 8, 5, 6], prompt=[6, 7], predicted=[9, 5]) is None


def slow(tokens: list[int], most: int) -> RepeatMatch | None:
    """The same, place by place."""
    size, best = len(tokens), None
    for end in range(SHORTEST, size):
        length = 0
        while length < min(LONGEST, end) and tokens[end - 1 - length] == tokens[size - 1 - length]:
            length += 1
        if length >= SHORTEST and (best is None or length >= best[0]):
            best = (length, end)
    if best is None:
        return None
    then = tokens[best[1] :]
    return RepeatMatch(best[0], tuple(then[i % len(then)] for i in range(most)))


@given(
    tokens=st.lists(st.integers(0, 3), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    most=st.integers(1, 15),
)
def test_it_agrees_with_the_slow_way_however_the_tokens_come(
    tokens: list[int], cuts: list[int], most: int
) -> None:
    lookup = PromptLookup()
    for cut in sorted(cuts):
        lookup.follow(tokens[:cut])
        lookup.find(most)
    lookup.follow(tokens)
    assert lookup.find(most) == slow(tokens, most)


def test_large_ids_and_many_tokens() -> None:
    source = random.Random(3)
    tokens = [source.randrange(2**31) for _ in range(5000)]
    assert find([*tokens, *tokens[100:103]], most=2) == RepeatMatch(3, (tokens[103], tokens[104]))
