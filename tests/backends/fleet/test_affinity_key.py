"""Shared beginnings of prompts under way: a key belongs to one beginning alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kvproxy.backends.fleet.affinity_key import affinity_key, prefix_key, shared_beginning
from kvproxy.core import DocumentRef, Prompt, Span
from tests.backends.fleet.conftest import OpenRig
from tests.backends.fleet.fleet_requests import ALICE, a_generation, answer_of, document_prompt
from tests.server.doubles import eventually


def test_readers_of_a_published_prefix_share_it_with_its_publication() -> None:
    prompt = document_prompt(tuple(range(1003)), (1, 2, 3))
    found = shared_beginning(prompt, "salt")
    assert (found.key, found.tokens) == (f"{prefix_key(prompt.token_ids[:1003], 'salt')} salt", 1003)


def test_conversations_share_the_tokens_that_they_are_placed_by() -> None:
    one, other = Prompt(tuple(range(300))), Prompt((*range(256), 7, 7, 7))
    assert shared_beginning(one, "salt") == shared_beginning(other, "salt")
    assert shared_beginning(one, "salt").tokens == 256
    assert shared_beginning(one, "salt") != shared_beginning(one, "other")
    assert shared_beginning(Prompt((1, 2, 3)), "salt").tokens == 3


def test_one_document_behind_two_preambles_is_placed_together_and_shares_nothing() -> None:
    span = Span(DocumentRef("handbook", 1), 1, 801)
    one, other = (Prompt((start, *range(800), 5), (span,)) for start in (1, 2))
    assert affinity_key(one, "salt") == affinity_key(other, "salt")
    assert shared_beginning(one, "salt").key != shared_beginning(other, "salt").key
    again = replace(one, token_ids=(*one.token_ids, 9, 9))
    assert shared_beginning(one, "salt") == shared_beginning(again, "salt")
    assert shared_beginning(one, "salt").tokens == 801


def test_what_is_promised_of_a_long_document_takes_bounded_time() -> None:
    long = Prompt(tuple(range(100_000)), (Span(DocumentRef("handbook", 1), 1, 99_000),))
    assert shared_beginning(long, "salt").tokens == 1 << 15


def under_way() -> list[tuple[str, Prompt, Prompt, int]]:
    """Return pairs of prompts with one routing key, and what the second may expect of the first while that waits."""
    common, text = tuple(range(1000, 1300)), tuple(range(5000, 5900))

    def behind(*preamble: int) -> Prompt:
        ids = (*preamble, *text, *range(8000, 8000 + len(preamble)))
        end = len(preamble) + len(text)
        return Prompt(ids, (Span(DocumentRef("handbook", 1), len(preamble), end),))

    def asked(end: int, known: int) -> Prompt:
        return document_prompt(tuple(range(known)), tuple(range(end, end + 300)))

    return [
        ("talks", Prompt((*common, *range(1000))), Prompt((*common, *range(4000, 5000))), 256),
        ("another preamble", behind(1, 2, 3), behind(4, 5), 0),
        ("the same preamble", behind(1, 2, 3), replace(behind(1, 2, 3), known=None), 896),
        ("a published prefix", asked(7000, 1003), asked(9000, 1003), 992),
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"), [pair[1:] for pair in under_way()], ids=[pair[0] for pair in under_way()]
)
async def test_of_a_prompt_under_way_no_more_is_expected_than_others_share(
    rig: OpenRig, first: Prompt, second: Prompt, expected: int
) -> None:
    async with rig(1) as fleet:
        fleet["a"].faults.stall_first_s = 3600.0
        asked = asyncio.create_task(answer_of(fleet.backend, a_generation(first)))
        replica = fleet.backend._replicas.find("a")
        assert replica is not None
        await eventually(lambda: bool(replica._waiting))
        with fleet.backend.hold(second, ALICE) as lookup:
            assert lookup.choice is not None and lookup.choice.expected_tokens == expected
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert not len(fleet.backend._replicas.pending)
