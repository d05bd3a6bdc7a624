"""explain_prompt of a published text: by digest, in other spellings, changed, or inside other text."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, SystemMessage

from langchain_kvproxy import Explanation, aexplain_prompt, explain_prompt, place_documents

from .handbook_proxy import HANDBOOK, OLD, HandbookProxy, codes, system, text


def test_a_published_document_is_known_by_its_text_without_fetching_it() -> None:
    proxy = HandbookProxy()
    explanation = explain_prompt(
        [SystemMessage(HANDBOOK + "\nBe brief."), HumanMessage("Why?")], client=proxy.client
    )
    (document,) = explanation.documents
    assert codes(explanation) == [], "the date in a published text is the same in every prompt"
    assert (document.status, document.document, document.tokens, document.resident) == (
        "current",
        "handbook@2",
        45,
        40,
    )
    assert proxy.asked == ["/kv/v1/documents"]


def test_a_published_document_is_known_without_the_white_space_behind_it() -> None:
    proxy = HandbookProxy()
    explanation = explain_prompt([SystemMessage(HANDBOOK.strip())], client=proxy.client)
    assert explanation.documents[0].status == "current"
    assert proxy.asked == ["/kv/v1/documents"]


FRONT, MARKED, WINDOWS = f"\n\n {HANDBOOK}\n", f"\ufeff{HANDBOOK}", HANDBOOK.replace("\n", "\r\n")

SPELLINGS = [
    (FRONT, HANDBOOK, "stripped", "the white space at its front"),
    (HANDBOOK, FRONT, "", "the white space at its front"),
    (MARKED, HANDBOOK, "no-bom", "a byte order mark at its front"),
    (HANDBOOK, MARKED, "", "a byte order mark at its front"),
    (WINDOWS, HANDBOOK, "lf", "its line ends"),
    (HANDBOOK, WINDOWS, "", "its line ends"),
    (f"\ufeff\n{WINDOWS}", HANDBOOK, "stripped+lf", "a byte order mark at its front"),
    (HANDBOOK, HANDBOOK.replace("Leave ", "Leave  "), "", "white space within it"),
]


@pytest.mark.parametrize(("published", "sent", "spelling", "cause"), SPELLINGS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_another_spelling_is_found_only_where_the_proxy_says_so(
    published: str, sent: str, spelling: str, cause: str, asynchronous: bool
) -> None:
    def explained(proxy: HandbookProxy) -> Explanation:
        prompt = system(text(sent))
        if asynchronous:
            return asyncio.run(aexplain_prompt(prompt, client=proxy.client))
        return explain_prompt(prompt, client=proxy.client)

    texts = (OLD, published)
    (document,) = (missed := explained(HandbookProxy(texts=texts))).documents
    assert codes(missed) == ["whitespace"] and not missed.ok
    assert f"only in {cause}, first at character" in missed.findings[0].what
    assert document.found is not None and document.found < 45
    assert f"; {document.found} of its 45 tokens are found again" in missed.findings[0].what
    (uncounted,) = explained(HandbookProxy(texts=texts, counts=None)).findings
    assert uncounted.code == "whitespace" and "found again" not in uncounted.what
    if spelling:
        assert explained(HandbookProxy(texts=texts, spellings=("published", spelling))).ok
    told = explained(
        HandbookProxy(texts=texts, counts=lambda said: "".join(said.replace("\ufeff", "").split()))
    )
    assert told.ok and told.documents[0].status == "current", "a template for which it makes no difference"


def test_the_published_text_itself_has_nothing_to_improve() -> None:
    for published in (FRONT, MARKED, WINDOWS):
        for by in ("text", "reference"):
            document = Document(published, metadata={"kvproxy_document": "handbook@2"})
            prompt = place_documents([], [document], by=by)  # type: ignore[arg-type]  # one of the two
            assert explain_prompt(prompt, client=HandbookProxy(texts=(OLD, published)).client).ok


def test_white_space_that_changed_is_told_from_a_text_that_changed() -> None:
    client = HandbookProxy().client
    windows = explain_prompt(system(text(HANDBOOK.replace("\n", "\r\n"))), client=client)
    assert codes(windows) == ["whitespace"]
    assert r'first at character 29: "\r\n\r\nEvery' in windows.findings[0].what
    edited = explain_prompt(system(text(HANDBOOK.replace("form 7", "form 8"))), client=client)
    assert codes(edited)[0] == "changed"
    assert '"8." for "7."' in edited.findings[0].what and edited.documents[0].document == "handbook@2"


def test_a_document_inside_other_text_is_not_found_there() -> None:
    inside = explain_prompt(
        [SystemMessage(f"It is 09:30. Context: {HANDBOOK}")], client=HandbookProxy().client
    )
    assert codes(inside) == ["time", "text-first"]
    assert (inside.documents[0].status, inside.documents[0].offset) == ("inside", 22)
