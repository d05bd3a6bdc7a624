"""Uses of documents that wait for the database."""

from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef
from kvproxy.telemetry.usage import document_uses
from kvproxy.telemetry.usage.document_use import DocumentUse
from kvproxy.telemetry.usage.document_uses import DocumentUses
from kvproxy.telemetry.usage.ended_request import DocumentPassage
from tests.telemetry.usage.ended import HANDBOOK, NOON, hit, miss


def test_a_reader_counts_for_itself_and_for_all() -> None:
    uses = DocumentUses()
    uses.count(hit())
    uses.count(miss())
    own = uses.use(HANDBOOK, "ann")
    assert own == uses.use(HANDBOOK, "")
    assert own == DocumentUse(1, 1, 800, int(NOON), 400_000, {"USD": 8_000})
    assert uses.use(HANDBOOK, "bob") == uses.use(DocumentRef("handbook"), "ann") == DocumentUse()


def test_a_document_has_the_part_of_its_tokens_of_what_was_saved() -> None:
    uses, second = DocumentUses(), DocumentRef("notes", 1)
    uses.count(hit(passages=(DocumentPassage(HANDBOOK, 600), DocumentPassage(second, 300))))
    assert uses.use(HANDBOOK, "").saved_us == 2 * uses.use(second, "").saved_us == 300_000


def test_a_reference_without_a_version_counts_for_none() -> None:
    uses = DocumentUses()
    uses.count(hit(passages=(DocumentPassage(DocumentRef("handbook"), 10),)))
    assert uses.take() == {}


def test_what_is_being_written_is_shown_and_comes_back_where_it_fails() -> None:
    uses = DocumentUses()
    uses.count(hit())
    taken = uses.take()
    assert {key.tenant for key in taken} == {"", "ann"} and uses.use(HANDBOOK, "ann").reads == 1
    uses.count(hit(at=NOON + 5))
    assert sum(day.use.reads for day in uses.days(HANDBOOK, "ann")) == 2
    uses.give_back()
    assert uses.use(HANDBOOK, "ann").reads == 2 and uses.use(HANDBOOK, "ann").last_read == int(NOON) + 5
    uses.take()
    uses.written()
    assert uses.use(HANDBOOK, "ann") == DocumentUse()


def test_there_is_a_bound_and_known_ones_are_counted_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_uses, "MOST_UNWRITTEN", 2)
    uses, other = DocumentUses(), DocumentRef("other", 1)
    uses.count(hit())
    uses.count(hit(passages=(DocumentPassage(other, 10),)))
    uses.count(hit())
    assert uses.use(HANDBOOK, "").reads == 2 and uses.use(other, "") == DocumentUse()
    uses.take()
    uses.written()
    uses.count(hit(passages=(DocumentPassage(other, 10),)))
    assert uses.use(other, "").reads == 1, "there is room again"
