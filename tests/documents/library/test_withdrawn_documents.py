from __future__ import annotations

from dataclasses import replace

from kvproxy.core import GRANTED, Caller, DocumentRef
from kvproxy.documents.library.document import Document, etag_of
from kvproxy.documents.library.withdrawn_documents import Withdrawal, WithdrawnDocuments
from kvproxy.errors import DocumentExpired, DocumentRevoked

ALICE, BOB = Caller("alice", "tenant:a"), Caller("bob", "tenant:b")
TEXT = "Everyone has 25 days of leave."
PUBLIC = Document("handbook", 1, TEXT, etag_of(TEXT), "public", "tenant:a", 1)
PRIVATE = replace(PUBLIC, version=2, visibility="private", text=f"{TEXT} And Fridays.")
LENT = replace(PUBLIC, version=3, visibility="granted")


def withdrawn() -> WithdrawnDocuments:
    documents = WithdrawnDocuments()
    for document in (PUBLIC, PRIVATE, LENT):
        documents.put(Withdrawal(document, "revoked", "wrong"))
    return documents


def named(documents: WithdrawnDocuments, caller: Caller, *, readable: bool) -> list[int]:
    return [w.document.version for w in documents.named("handbook", caller, lambda _: readable)]


def test_each_is_known_to_those_who_were_allowed_to_see_it() -> None:
    documents = withdrawn()
    assert named(documents, ALICE, readable=True) == [1, 2, 3]
    assert named(documents, BOB, readable=True) == [1, 3] and named(documents, BOB, readable=False) == [1]
    assert documents.owner("handbook") == documents.owner(f"handbook\n{GRANTED}") == "tenant:a"
    assert documents.owner("other") is None


def test_the_longest_text_is_found_by_its_beginning() -> None:
    documents = withdrawn()
    for caller, version in ((ALICE, 2), (BOB, 1)):
        found = documents.at_front(f"  {PRIVATE.text} Why?", caller)
        assert found is not None and found.document.version == version
    assert documents.at_front("Another text", ALICE) is None


def test_what_is_taken_is_gone() -> None:
    documents = withdrawn()
    taken = documents.take(PUBLIC.ref)
    assert taken is not None and taken.document == PUBLIC and documents.take(PUBLIC.ref) is None
    assert documents.find(PUBLIC.ref) is None and len(list(documents)) == 2
    assert documents.at_front(TEXT, BOB) is None
    documents.take(PRIVATE.ref)
    documents.take(LENT.ref)
    assert list(documents) == [] and documents.at_front(TEXT, ALICE) is None


def test_a_watch_is_told_while_it_lasts() -> None:
    documents, told = WithdrawnDocuments(), []
    with documents.watch([PUBLIC.ref, LENT.ref], lambda: told.append("at the end")):
        documents.put(Withdrawal(PRIVATE, "expired"))
        assert told == []
        documents.put(Withdrawal(PUBLIC, "expired"))
        assert len(told) == 1
    documents.put(Withdrawal(LENT, "expired"))
    assert len(told) == 1
    with documents.watch([PUBLIC.ref], lambda: told.append("at once")):
        assert told[1:] == ["at once"]


def test_the_answer_says_why() -> None:
    revoked = Withdrawal(PUBLIC, "revoked", "wrong").error(param="messages")
    assert (
        isinstance(revoked, DocumentRevoked) and revoked.param == "messages" and "(wrong)" in revoked.message
    )
    expired = Withdrawal(replace(PUBLIC, expires=99), "expired").error()
    assert isinstance(expired, DocumentExpired) and "at 99" in expired.message
    assert DocumentRef("handbook", 1) == PUBLIC.ref
