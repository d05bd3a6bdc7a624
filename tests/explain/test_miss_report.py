"""Reports on request: the first differing character and token, beside a document or an earlier request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvproxy.core import DocumentRef, Hit, MissCause
from kvproxy.errors import DocumentNotFound, PermissionDenied
from tests.documents.conversation import ALICE, APACHE, BOB, chat, publish
from tests.explain.asking import Asker
from tests.explain.test_miss_explainer import LONG, RULES, dated


def test_an_earlier_request_shows_the_first_difference(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE)
    report = asker.report(dated("2026-11-30"), ALICE, previous=True)
    difference, token = report.found.difference, report.token
    assert report.found.cause is MissCause.TIMESTAMP and report.counted == "message"
    assert difference is not None and difference.position == len("Today is 2026-11-")
    assert token is not None and token.index == report.found.common
    assert (token.sent, token.other) == (
        report.asked.prompt.token_ids[token.index],
        asker.composer.compose(dated("2026-11-29"), ALICE).token_ids[token.index],
    )
    assert token.sent != token.other


def test_the_same_request_is_passed_over(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE, "other")
    asker.sent(dated("2026-11-30"), ALICE, "itself")
    for previous in (True, False):
        report = asker.report(dated("2026-11-30"), ALICE, previous=previous)
        assert report.found.request is not None and report.found.request.id == "other"
        assert report.found.cause is MissCause.TIMESTAMP


def test_nothing_to_compare_with(asker: Asker) -> None:
    report = asker.report(dated("2026-11-30"), ALICE, previous=True)
    assert (report.found.cause, report.found.difference, report.token) == (MissCause.NO_DOCUMENT, None, None)


def test_beside_a_document(asker: Asker) -> None:
    publish(asker.composer, "apache", APACHE)
    edited = APACHE.replace("Licensor", "Lender", 1)
    for against in ("apache", None):
        report = asker.report(chat(("system", edited), ("user", "Q")), BOB, against=against)
        difference = report.found.difference
        assert (report.found.cause, str(report.found.document)) == (MissCause.OTHER_VERSION, "apache@1")
        assert difference is not None and difference.position == APACHE.strip().index("Licensor") + 1
        assert (difference.sent[:5], difference.other[:7]) == ("ender", "icensor")
        assert report.token is not None and report.token.sent != report.token.other
    behind = asker.report(chat(("system", f"It is 9:30 am.\n{APACHE}")), BOB, against="apache")
    assert behind.found.cause is MissCause.TIMESTAMP
    other = asker.report(chat(("system", "Zebras. " * 9)), BOB, against="apache")
    assert other.found.cause is MissCause.NO_DOCUMENT


def test_beside_a_documents_framing(asker: Asker) -> None:
    publish(asker.composer, "apache", APACHE)
    by_name = chat(("system", RULES), ("user", [DocumentRef("apache"), "Q"]))
    report = asker.report(by_name, BOB, against="apache")
    assert report.found.cause is MissCause.ROLE_OR_TEMPLATE and report.found.difference is not None
    assert report.token is not None and report.token.index == report.found.common
    hit = asker.report(chat(("system", APACHE), ("user", "Q")), BOB, against="apache")
    assert isinstance(hit.asked.decision, Hit) and hit.found.cause is None and hit.found.difference is None


def test_a_hit_is_compared_with_earlier_requests(asker: Asker) -> None:
    asker.sent(
        chat(("system", LONG * 2), ("user", "Turn 4. Go on with the game, and be kind to all of us.")), ALICE
    )
    request = chat(("system", LONG * 2), ("user", "What else?"))
    report = asker.report(request, ALICE, decision=Hit(256, None))
    assert report.found.cause is None and report.found.place == 1, "another question is no fault"
    assert report.found.difference is not None


def test_documents_that_may_not_be_compared(asker: Asker) -> None:
    publish(asker.composer, "mine", APACHE, visibility="private")
    publish(asker.composer, "sold", APACHE, visibility="granted")
    asker.rights.grant("sold", "bob")
    request = chat(("system", APACHE[:999]), ("user", "Q"))
    with pytest.raises(DocumentNotFound):
        asker.report(request, BOB, against="mine")
    with pytest.raises(PermissionDenied, match="only its publisher can fetch"):
        asker.report(request, BOB, against="sold")
    with pytest.raises(DocumentNotFound):
        asker.report(request, replace(BOB, name="carol", scope="tenant:c"), against="sold")
    assert asker.report(request, ALICE, against="sold").found.cause is MissCause.OTHER_VERSION
