from __future__ import annotations

import pytest

from kvproxy.core import (
    Decision,
    DocumentRef,
    Hit,
    Miss,
    MissCause,
    MissReason,
    NoPages,
    PageLookup,
    PagesFound,
    Prompt,
    Span,
)
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.documents.matching import confirm, decide, decide_cold

REF = DocumentRef("handbook", 3)
TOKENS = tuple(range(1000))
BARE = Prompt(TOKENS)
PUBLISHED = Prompt(TOKENS, (Span(REF, 3, 800, "public"), Span(DocumentRef("other", 1), 850, 900)))
CONFINED = Prompt(TOKENS, (Span(REF, 3, 800, "public", quarantined=True),), marks=(40,))
SHORT = Prompt(TOKENS, (Span(REF, 3, 100, "public"),))
MARKED = Prompt(TOKENS, marks=(40, 500))
MARKED_FOREIGN = Prompt(TOKENS, (Span(REF, 300, 800),), marks=(40,))
MARKED_BEHIND = Prompt(TOKENS, (Span(REF, 3, 100),), marks=(120,))
FOREIGN = Prompt(TOKENS, (Span(REF, 300, 800),))


@pytest.mark.parametrize(
    ("prompt", "lookup", "expected"),
    [
        (BARE, NoPages(evicted=False), Miss(MissReason.NO_DOCUMENT)),
        (BARE, NoPages(evicted=True), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(0, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(255, 0), Miss(MissReason.NO_DOCUMENT)),
        (BARE, PagesFound(256, 0), Hit(256, None)),
        (BARE, PagesFound(512, 0), Hit(512, None)),
        (PUBLISHED, NoPages(evicted=False), Miss(MissReason.NOT_RESIDENT, REF)),
        (CONFINED, PagesFound(900, 0), Miss(MissReason.QUARANTINED, REF)),
        (CONFINED, NoPages(evicted=True), Miss(MissReason.QUARANTINED, REF)),
        (PUBLISHED, PagesFound(800, 800), Hit(800, REF)),
        (PUBLISHED, PagesFound(259, 0), Hit(259, REF)),
        (PUBLISHED, PagesFound(258, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (PUBLISHED, PagesFound(3, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, NoPages(evicted=False), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, NoPages(evicted=True), Miss(MissReason.NOT_RESIDENT, REF)),
        (FOREIGN, PagesFound(300, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (FOREIGN, PagesFound(310, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (SHORT, PagesFound(99, 0), Miss(MissReason.NOT_RESIDENT, REF)),
        (SHORT, PagesFound(100, 0), Hit(100, REF)),
        (FOREIGN, PagesFound(999, 0), Hit(999, REF)),
        (MARKED, NoPages(evicted=True), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, PagesFound(39, 0), Miss(MissReason.NO_DOCUMENT)),
        (MARKED, PagesFound(40, 0), Hit(40, None)),
        (MARKED, PagesFound(300, 0), Hit(300, None)),
        (MARKED_FOREIGN, PagesFound(39, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_FOREIGN, PagesFound(310, 0), Hit(310, None)),
        (MARKED_FOREIGN, PagesFound(556, 0), Hit(556, REF)),
        (MARKED_BEHIND, PagesFound(99, 0), Miss(MissReason.NEW_PREAMBLE, REF)),
        (MARKED_BEHIND, PagesFound(100, 0), Hit(100, REF)),
        (Prompt(TOKENS, marks=(0,)), PagesFound(0, 0), Miss(MissReason.NO_DOCUMENT)),
    ],
)
def test_decisions(prompt: Prompt, lookup: PageLookup, expected: Hit | Miss) -> None:
    assert decide(prompt, lookup) == expected


@pytest.mark.parametrize("lookup", [NoPages(evicted=True), PagesFound(800, 0)])
def test_a_prompt_that_is_to_be_cold_is_a_miss_whatever_is_kept(lookup: PageLookup) -> None:
    assert decide_cold(PUBLISHED, lookup) == Miss(MissReason.ASKED_COLD, REF)
    assert decide_cold(BARE, lookup) == Miss(MissReason.ASKED_COLD)


BOOK = Span(REF, 3, 1003, "public")
FLEET = Prompt(tuple(range(1100)), (BOOK,))
SMALL = Prompt(tuple(range(300)), (Span(REF, 30, 90, "public"),))
FIRST_SEEN = Prompt(tuple(range(1100)), (Span(REF, 3, 1003),))


def chosen(cause: MissCause | None = None, expected: int = 0, block: int = 128) -> ReplicaChoice:
    return ReplicaChoice("replica-a", "handbook@3", expected, block, cause, "as it was")


def causes(decision: Decision) -> tuple[str, str | None]:
    kind = "hit" if isinstance(decision, Hit) else decision.reason.value
    return kind, None if decision.cause is None else decision.cause.value


@pytest.mark.parametrize(
    ("prompt", "tokens", "cause", "told"),
    [
        (FLEET, 896, None, ("hit", "rounded-to-block")),
        (FLEET, 1024, None, ("hit", None)),
        (FLEET, 384, MissCause.EVICTED, ("hit", "evicted")),
        (FLEET, 128, MissCause.EVICTED, ("not-resident", "evicted")),
        (FLEET, 0, MissCause.NOT_ON_REPLICA, ("not-resident", "not-on-replica")),
        (FLEET, 0, MissCause.OTHER_SALT, ("not-resident", "other-salt")),
        (FLEET, 0, MissCause.SPILLED_FOR_LOAD, ("not-resident", "spilled-for-load")),
        (FLEET, 0, None, ("not-resident", "not-on-replica")),
        (SMALL, 0, None, ("not-resident", "rounded-to-block")),
        (SMALL, 128, None, ("hit", None)),
        (FIRST_SEEN, 0, MissCause.NOT_ON_REPLICA, ("new-preamble", None)),
        (FIRST_SEEN, 0, MissCause.SPILLED_FOR_LOAD, ("not-resident", "spilled-for-load")),
        (BARE, 0, MissCause.NOT_ON_REPLICA, ("no-document", None)),
        (BARE, 0, MissCause.SPILLED_FOR_LOAD, ("no-document", "spilled-for-load")),
        (BARE, 512, MissCause.EVICTED, ("hit", "evicted")),
    ],
)
def test_a_fleets_cause_goes_on_into_the_decision(
    prompt: Prompt, tokens: int, cause: MissCause | None, told: tuple[str, str | None]
) -> None:
    choice = chosen(cause, tokens)
    decision = decide(prompt, PagesFound(tokens, 0, choice) if tokens else NoPages(False, choice))
    assert causes(decision) == told
    assert decision.choice is choice


def test_whole_blocks_of_a_short_document_are_a_hit() -> None:
    short = Prompt(tuple(range(300)), (Span(REF, 3, 200, "public"),))
    assert decide(short, PagesFound(128, 0, chosen())) == Hit(128, REF)
    assert decide(short, PagesFound(128, 0)) == Miss(MissReason.NOT_RESIDENT, REF), "pages have no blocks"


@pytest.mark.parametrize(
    ("decided", "expected", "reported", "told"),
    [
        (Hit(896, REF), 896, 896, ("hit", "rounded-to-block")),
        (Hit(896, REF), 896, 384, ("hit", "evicted")),
        (Hit(896, REF), 896, 0, ("not-resident", "evicted")),
        (Hit(896, REF), 0, 0, ("not-resident", "not-on-replica")),
        (Miss(MissReason.NOT_RESIDENT, REF, MissCause.NOT_ON_REPLICA), 0, 896, ("hit", "rounded-to-block")),
        (
            Miss(MissReason.NOT_RESIDENT, REF, MissCause.NOT_ON_REPLICA),
            0,
            0,
            ("not-resident", "not-on-replica"),
        ),
        (Miss(MissReason.NEW_PREAMBLE, REF, MissCause.TIMESTAMP), 0, 0, ("new-preamble", "timestamp")),
    ],
)
def test_the_replicas_own_number_decides_in_the_end(
    decided: Decision, expected: int, reported: int, told: tuple[str, str | None]
) -> None:
    assert causes(confirm(FLEET, decided, chosen(expected=expected), reported)) == told


def test_a_hit_without_a_document_that_was_none() -> None:
    assert confirm(BARE, Hit(512, None), chosen(expected=512), 0) == Miss(MissReason.NO_DOCUMENT)


@pytest.mark.parametrize(
    ("cause", "told"), [(None, None), (MissCause.NOT_ON_REPLICA, None), (MissCause.EVICTED, "evicted")]
)
def test_a_replica_that_was_not_believed_to_hold_a_prompt_has_not_evicted_it(
    cause: MissCause | None, told: str | None
) -> None:
    found = confirm(BARE, Hit(512, None), chosen(cause, 0), 0)
    assert causes(found) == ("no-document", told)


def test_what_is_in_quarantine_is_confirmed_as_no_hit() -> None:
    miss = Miss(MissReason.QUARANTINED, REF)
    assert confirm(CONFINED, miss, chosen(), 896) == miss
