from __future__ import annotations

import hashlib

from kvproxy.learning.tenant_sketches import TenantSketches
from kvproxy.learning.text_learner import LearnableText, Opening, TextLearner

MANUAL = "".join(f"{n}. Every clause has a number of its own, and this one is {n}.\n" for n in range(120))
ALICE, BOB = "tenant:a", "tenant:b"


def note(learner: TextLearner, text: str, scope: str = ALICE, known: int = 0) -> LearnableText | None:
    return learner.note(Opening(scope, text, hashlib.sha256(text.encode()).digest(), known))


def test_a_text_is_learned_with_its_second_reader_up_to_a_line_end() -> None:
    learner = TextLearner()
    assert note(learner, f"{MANUAL}\nWhy?") is None
    found = note(learner, f"{MANUAL}\nHow?")
    assert found is not None and found.scope == ALICE and found.id.startswith("learned/")
    assert MANUAL.startswith(found.text) and len(MANUAL) - len(found.text) < 700 and found.text[-1] == "\n"


def test_a_retry_is_no_second_reader() -> None:
    learner = TextLearner()
    assert [note(learner, f"{MANUAL}\nWhy?") for _ in range(3)] == [None, None, None]


def test_tenants_do_not_count_for_each_other() -> None:
    learner = TextLearner()
    assert note(learner, f"{MANUAL}\nWhy?") is None
    assert note(learner, f"{MANUAL}\nHow?", BOB) is None
    assert note(learner, f"{MANUAL}\nWhen?", BOB) is not None


def test_short_texts_and_what_differs_at_once_are_not_learned() -> None:
    learner = TextLearner()
    assert [note(learner, f"{MANUAL[:1000]}{n}") for n in range(3)] == [None] * 3
    assert [note(learner, f"Request {n}\n{MANUAL}") for n in range(3)] == [None] * 3


def test_a_longer_text_is_learned_behind_a_learned_one_only_where_that_pays() -> None:
    learner = TextLearner()
    first = note(learner, f"{MANUAL[:5000]}\nWhy?") or note(learner, f"{MANUAL[:5000]}\nHow?")
    assert first is not None
    known = len(first.text)
    assert note(learner, f"{MANUAL}\nA?", known=known) is None
    second = note(learner, f"{MANUAL}\nB?", known=known)
    assert second is not None and len(second.text) > 1.25 * known
    assert note(learner, f"{MANUAL}\nC?", known=len(second.text)) is None


def test_what_its_owner_deleted_is_not_learned_again() -> None:
    learner = TextLearner()
    found = note(learner, f"{MANUAL}\nWhy?") or note(learner, f"{MANUAL}\nHow?")
    assert found is not None
    learner.refuse(ALICE, found.text)
    assert [note(learner, f"{MANUAL}\n{n}?") for n in range(3)] == [None] * 3


def test_memory_is_bounded_by_tenant_and_in_all() -> None:
    learner = TextLearner(sketches=TenantSketches(most=3))
    for number in range(10):
        note(learner, MANUAL, f"tenant:{number}")
    assert learner.size < 3 * 22_000
    before = learner.size
    for number in range(300):
        note(learner, f"{number}\n{MANUAL}", "tenant:9")
    assert learner.size == before
