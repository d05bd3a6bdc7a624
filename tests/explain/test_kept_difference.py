"""The difference of a request that is still remembered from the nearest one before it."""

from __future__ import annotations

from kvproxy.core import Caller
from kvproxy.explain.kept_difference import KeptDifference, Remembered
from tests.documents.conversation import ALICE, BOB, chat
from tests.explain.asking import Asker
from tests.explain.test_miss_explainer import RULES, dated


def difference(asker: Asker, caller: Caller, id: str) -> KeptDifference:
    found = asker.reporter.kept(caller, id)
    assert isinstance(found, KeptDifference)
    return found


def test_the_first_differing_token_and_the_text_around_it(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE, "one")
    asker.sent(dated("2026-11-30"), ALICE, "two")
    found = difference(asker, ALICE, "two")
    ids = [asker.composer.compose(dated(day), ALICE).token_ids for day in ("2026-11-30", "2026-11-29")]
    assert (found.request.id, found.other.id) == ("two", "one")
    assert (found.sent_token, found.other_token) == (ids[0][found.common], ids[1][found.common])
    assert ids[0][: found.common] == ids[1][: found.common] and found.sent_token != found.other_token
    assert found.before.endswith("Today is 2026-11-")
    assert (found.sent[:2], found.theirs[:2]) == ("30", "29")


def test_what_came_later_is_not_compared_with(asker: Asker) -> None:
    for id, day in (("one", "2026-11-28"), ("two", "2026-11-30"), ("three", "2026-11-30 at noon")):
        asker.sent(dated(day), ALICE, id)
    assert difference(asker, ALICE, "two").other.id == "one"
    assert isinstance(asker.reporter.kept(ALICE, "one"), Remembered)


def test_nobody_sees_anothers_request(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE, "hers")
    asker.sent(dated("2026-11-30"), BOB, "his")
    assert asker.reporter.kept(BOB, "hers") is None
    assert isinstance(asker.reporter.kept(BOB, "his"), Remembered), "and it is compared with none of hers"


def test_a_later_turn_takes_the_place_of_the_one_before(asker: Asker) -> None:
    first = chat(("system", RULES), ("user", "Q"))
    asker.sent(first, ALICE, "one")
    again = chat(("system", RULES), ("user", "Q"), ("assistant", "A"), ("user", "R"))
    asker.sent(again, ALICE, "two")
    assert asker.reporter.kept(ALICE, "two") is not None
    assert asker.reporter.kept(ALICE, "never") is None
