"""The document that a text is an edited copy of, and not one with the same head."""

from __future__ import annotations

from kvproxy.core import MissCause, TextRequest
from kvproxy.explain.nearest_document import front_texts, near_documents
from tests.documents.conversation import ALICE, APACHE, BOB, chat, publish
from tests.explain.asking import Asker

HEAD = "Copyright 2026 Example Ltd. All rights are reserved, and none of this may be copied by anybody.\n"


def test_a_common_head_is_no_copy(asker: Asker) -> None:
    publish(asker.composer, "rules", HEAD + APACHE)
    other = chat(("system", HEAD + "Zebras are black. " * 99))
    assert list(near_documents(other, asker.library, BOB)) == []
    (near,) = near_documents(chat(("system", HEAD + "Mended. " + APACHE)), asker.library, BOB)
    assert (near.cause, str(near.document), near.message) == (MissCause.OTHER_VERSION, "rules@1", 0)
    assert near.difference.position == len(HEAD)


def test_front_texts_are_those_that_could_be_documents() -> None:
    request = chat(("system", "a"), ("assistant", "b"), ("user", ["c", " ", "d"]))
    assert [(front.message, front.text) for front in front_texts(request)] == [(0, "a"), (2, "c"), (2, "d")]
    assert [front.text for front in front_texts(TextRequest("m", "text"))] == ["text"]
    assert front_texts(TextRequest("m", (1, 2))) == []


def test_each_text_may_have_one(asker: Asker) -> None:
    publish(asker.composer, "rules", APACHE)
    request = chat(("system", f"It is 9:30 am.\n{APACHE}"), ("user", APACHE.replace("Licensor", "Lender", 1)))
    causes = [(near.message, near.cause) for near in near_documents(request, asker.library, ALICE)]
    assert causes == [(0, MissCause.TIMESTAMP), (1, MissCause.OTHER_VERSION)]
