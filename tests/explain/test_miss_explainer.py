"""Causes of misses, from the caller's own earlier requests and the documents that it may fetch."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kvproxy.core import (
    GRANTED,
    CacheHints,
    ChatRequest,
    DocumentRef,
    Hit,
    Miss,
    MissCause,
    MissReason,
    TextRequest,
    Tool,
)
from kvproxy.documents.library.withdrawn_documents import Ending
from kvproxy.explain.miss_explainer import DIRECT
from tests.documents.conversation import ALICE, APACHE, BOB, LOOKUP, NOW, chat, publish
from tests.explain.asking import Asker

RULES = "You are the assistant of the help desk. Answer in English, name your sources, and be brief. "
LONG = RULES + "Rule: never promise what the contract does not say, and never guess at a number. " * 12


def dated(day: str, question: str = "How are you?") -> ChatRequest:
    return chat(("system", f"Today is {day}.\n{LONG}"), ("user", question))


def test_a_date_in_the_preamble(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE)
    found = asker.found(dated("2026-11-30", "Why?"), ALICE)
    assert (found.cause, found.place) == (MissCause.TIMESTAMP, 0)
    assert found.request is not None and found.request.id == "before" and found.difference is not None
    assert found.difference.before.endswith("Today is 2026-11-")
    assert (found.difference.sent[:4], found.difference.other[:4]) == ("30.\n", "29.\n")


@pytest.mark.parametrize("more", [0, 60])
def test_tools_in_another_order(asker: Asker, more: int) -> None:
    names = ["search", "fetch", *(f"tool_{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(more))]
    tools = [{"name": name, "parameters": {"type": "object"}} for name in names]
    sent, turned = (f"Your tools: {json.dumps(listed)}. {RULES}" for listed in (tools, tools[::-1]))
    asker.sent(chat(("system", sent), ("user", "Q")), ALICE)
    assert asker.cause(chat(("system", turned), ("user", "Q")), ALICE) is MissCause.TOOLS_ORDER
    renamed = sent.replace("search", "seek")
    unlike = (
        MissCause.UNKNOWN,
        MissCause.NO_DOCUMENT,
    )  # the latter where all but the template's words differ
    assert asker.cause(chat(("system", renamed), ("user", "Q")), ALICE) in unlike


def test_tools_that_the_prompt_has_in_one_order(asker: Asker) -> None:
    request = replace(chat(("system", RULES), ("user", "Q")), tools=(LOOKUP, NOW))
    asker.sent(request, ALICE)
    asked = asker.asked(replace(request, tools=(NOW, LOOKUP)), ALICE, Hit(256, None))
    found = asker.explainer.beside_request(asked)
    assert found is not None and found.common == len(asked.prompt.token_ids)
    other = Tool("lookup", "Find another word.", LOOKUP.parameters)
    changed = asker.asked(replace(request, tools=(other, NOW)), ALICE, Hit(256, None))
    found = asker.explainer.beside_request(changed)
    assert found is not None and (found.place, found.cause) == ("tools", MissCause.UNKNOWN)


def test_another_role(asker: Asker) -> None:
    asker.sent(chat(("system", LONG), ("user", "Q")), ALICE)
    assert asker.cause(chat(("user", LONG), ("user", "Q")), ALICE) is MissCause.ROLE_OR_TEMPLATE


def test_white_space_in_the_preamble(asker: Asker) -> None:
    asker.sent(chat(("system", LONG), ("user", "Q")), ALICE)
    assert asker.cause(chat(("system", LONG.replace(". ", ".\u00a0", 1)), ("user", "Q")), ALICE) is (
        MissCause.WHITESPACE
    )


def test_another_text_is_unknown_and_nothing_alike_no_document(asker: Asker) -> None:
    assert asker.cause(chat(("system", LONG), ("user", "Q")), ALICE) is MissCause.NO_DOCUMENT
    asker.sent(chat(("system", LONG), ("user", "Q")), ALICE)
    edited = LONG.replace("name your sources", "hide your tracks")
    assert asker.cause(chat(("system", edited), ("user", "Q")), ALICE) is MissCause.UNKNOWN
    assert asker.cause(chat(("system", "Zebras. " * 99), ("user", "Q")), ALICE) is MissCause.NO_DOCUMENT


def test_little_in_common_is_too_short(asker: Asker) -> None:
    assert asker.cause(chat(("user", "Hello")), ALICE) is MissCause.TOO_SHORT
    asker.sent(chat(("system", "Be kind."), ("user", "What is the time in Rome?")), ALICE)
    assert asker.cause(chat(("system", "Be kind."), ("user", "Why?")), ALICE) is MissCause.TOO_SHORT


def test_common_pages_that_are_gone_were_evicted(asker: Asker) -> None:
    asker.sent(chat(("system", LONG * 3), ("user", "A?")), ALICE)
    assert asker.cause(chat(("system", LONG * 3), ("user", "B?")), ALICE) is MissCause.EVICTED


def test_one_text_in_two_cuts_of_tokens(asker: Asker) -> None:
    whole = asker.composer.encode_prompt("What is the rate?", add_special_tokens=False)
    cut = [
        id
        for letter in "What is the rate?"
        for id in asker.composer.encode_prompt(letter, add_special_tokens=False)
    ]
    assert len(whole) < len(cut)
    asker.sent(TextRequest("m", tuple(whole)), ALICE)
    assert asker.cause(TextRequest("m", tuple(cut)), ALICE) is MissCause.BOUNDARY_MERGE


@pytest.mark.parametrize("reason", DIRECT)
def test_reasons_that_are_causes(asker: Asker, reason: MissReason) -> None:
    asked = asker.asked(chat(("user", "Q")), ALICE, Miss(reason, DocumentRef("d", 1)))
    assert asker.explainer.cause(asked) is DIRECT[reason]


def test_documents_that_are_not_found(asker: Asker) -> None:
    publish(asker.composer, "apache", APACHE)
    for cause, text in (
        (MissCause.TIMESTAMP, f"It is 2026-11-30 09:31.\n{APACHE}"),
        (MissCause.UUID, f"<doc id=0a8dcc4e-f483-4b0d-b94b-248fcc60d1aa>\n{APACHE}</doc>"),
        (MissCause.ROLE_OR_TEMPLATE, f"Answer from this document:\n\n{APACHE}"),
        (MissCause.WHITESPACE, APACHE.replace("\n", "\r\n")),
        (MissCause.OTHER_VERSION, APACHE.replace("Licensor", "Lender", 1)),
        (MissCause.OTHER_VERSION, APACHE[: len(APACHE) // 2]),
    ):
        found = asker.found(chat(("system", text), ("user", "Q")), BOB)
        assert (found.cause, str(found.document)) == (cause, "apache@1"), text[:60]


def test_a_document_behind_another_preamble(asker: Asker) -> None:
    publish(asker.composer, "apache", APACHE)
    rules = chat(("system", RULES), ("user", APACHE))
    found = asker.found(rules, BOB)
    assert (found.cause, str(found.document)) == (MissCause.ROLE_OR_TEMPLATE, "apache@1")
    assert asker.cause(chat(("system", "It is 9:30 am."), ("user", APACHE)), BOB) is MissCause.TIMESTAMP
    asker.sent(chat(("system", f"Turn 4. {RULES}"), ("user", APACHE)), BOB)
    found = asker.found(chat(("system", f"Turn 5. {RULES}"), ("user", APACHE)), BOB)
    assert (found.cause, found.request is not None) == (MissCause.COUNTER, True)


def test_a_hit_has_no_cause(asker: Asker) -> None:
    publish(asker.composer, "apache", APACHE)
    assert asker.cause(chat(("system", APACHE), ("user", "Q")), BOB) is None


def test_the_earlier_requests_of_others_do_not_exist(asker: Asker) -> None:
    asker.sent(dated("2026-11-29"), ALICE)
    asker.sent(replace(dated("2026-11-28"), cache=CacheHints(salt="s")), BOB)
    assert asker.cause(dated("2026-11-30"), BOB) is MissCause.NO_DOCUMENT
    salted = replace(dated("2026-11-30"), cache=CacheHints(salt="s"))
    assert asker.cause(salted, BOB) is MissCause.TIMESTAMP
    assert asker.cause(replace(salted, cache=CacheHints(salt="t")), BOB) is MissCause.NO_DOCUMENT


def test_nothing_is_kept_of_requests_that_are_to_leave_nothing(asker: Asker) -> None:
    asker.sent(replace(dated("2026-11-29"), cache=CacheHints(retain=False)), ALICE)
    asker.sent(dated("2026-11-29"), replace(ALICE, retain=False))
    assert len(asker.previous) == 0 and asker.cause(dated("2026-11-30"), ALICE) is MissCause.NO_DOCUMENT


def test_documents_of_others_do_not_exist(asker: Asker) -> None:
    publish(asker.composer, "mine", APACHE, visibility="private")
    edited = chat(("system", APACHE.replace("Licensor", "Lender", 1)), ("user", "Q"))
    behind = chat(("system", f"It is 9:30 am.\n{APACHE}"), ("user", "Q"))
    assert asker.cause(edited, ALICE) is MissCause.OTHER_VERSION
    assert asker.cause(behind, ALICE) is MissCause.TIMESTAMP
    for request in (edited, behind):
        found = asker.found(request, BOB)
        assert (found.cause, found.document) == (MissCause.NO_DOCUMENT, None)


def test_a_granted_text_cannot_be_guessed_piece_by_piece(asker: Asker) -> None:
    publish(asker.composer, "sold", APACHE, visibility="granted")
    asker.rights.grant("sold", "bob")
    begun = chat(("system", APACHE[: len(APACHE) // 2]), ("user", "Q"))
    assert asker.cause(begun, ALICE) is MissCause.OTHER_VERSION, "its publisher has the text"
    found = asker.found(begun, BOB)
    assert (found.cause, found.document) == (MissCause.NO_DOCUMENT, None)
    by_name = asker.asked(chat(("system", RULES), ("user", [DocumentRef("sold"), "Q"])), BOB)
    assert by_name.prompt.confined
    asker.sent(chat(("system", RULES), ("user", APACHE[:4000])), BOB)  # a guess at its beginning
    found = asker.explainer.found(by_name)
    start = by_name.prompt.documents[0].start
    assert (found.common or 0) <= start and found.difference is None
    kept = len(asker.previous)
    asker.explainer.remember(by_name, "confined")
    assert len(asker.previous) == kept, "its tokens are the text"


def test_an_ended_grant_is_told_to_those_who_had_one(asker: Asker) -> None:
    publish(asker.composer, "sold", APACHE, visibility="granted")
    asker.rights.grant("sold", "bob")
    text = chat(("system", APACHE), ("user", "Q"))
    assert asker.cause(text, BOB) is None
    asker.rights.end("sold", "bob", "it expired")
    found = asker.found(text, BOB)
    assert (found.cause, str(found.document)) == (MissCause.NOT_GRANTED, "sold@1")
    carol = replace(BOB, name="carol", scope="tenant:c")
    assert asker.found(text, carol).document is None
    half = chat(("system", APACHE[: len(APACHE) // 2]), ("user", "Q"))
    assert asker.found(half, BOB).document is None, "a piece of it shows nothing"


@pytest.mark.parametrize("visibility", ["public", "private", "granted"])
@pytest.mark.parametrize(
    ("ending", "cause"), [("revoked", MissCause.REVOKED), ("expired", MissCause.EXPIRED)]
)
def test_withdrawn_documents(asker: Asker, visibility: str, ending: Ending, cause: MissCause) -> None:
    publish(asker.composer, "gone", APACHE, visibility=visibility)
    owner = {"public": None, "private": ALICE.scope, "granted": GRANTED}[visibility]
    asker.library.withdraw(DocumentRef("gone", 1, owner), ending)
    text = chat(("system", APACHE), ("user", "Q"))
    found = asker.found(text, ALICE)
    assert (found.cause, str(found.document)) == (cause, "gone@1")
    told = asker.found(text, BOB)
    assert told.cause is (cause if visibility == "public" else MissCause.NO_DOCUMENT)
    edited = chat(("system", APACHE.replace("Licensor", "Lender", 1)), ("user", "Q"))
    assert asker.found(edited, ALICE).document is None, "a withdrawn text is compared in no part"
