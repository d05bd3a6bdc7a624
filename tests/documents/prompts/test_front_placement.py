"""Documents are moved to the front where that was asked for, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import ChatRequest, DocumentPart, DocumentRef, Role, TextPart, ToolCall
from kvproxy.documents.prompts import front_placement
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.front_placement import place_at_front
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import DocumentNotFound
from tests.documents.conversation import ALICE, APACHE, BOB, build, chat, message, publish, result
from tests.documents.models import TEXTS

LICENCE = APACHE.strip()[:3000].strip()
GPL = (TEXTS / "gpl-3.txt").read_text(encoding="utf-8")[:5000].strip()
WORDS = "No reader has one. " * 3
NOTE = "[document {} at the beginning: {}@1]"


@pytest.fixture(scope="module")
def composer(qwen3: Path) -> Composer:
    composer = build(qwen3, Tokenizer.load(qwen3))
    publish(composer, "licence", LICENCE)
    publish(composer, "gpl", GPL)
    publish(composer, "words", WORDS)
    publish(composer, "mine", "A page of Alice's own. " * 80, visibility="private")
    return composer


def placed(composer: Composer, request: ChatRequest) -> tuple[list[tuple[Role, list[str]]], list[str]]:
    """The messages' texts, and the ids that were moved."""
    found = place_at_front(request, composer.library, BOB)
    shown = [
        (m.role, [p.text if isinstance(p, TextPart) else str(p.document) for p in m.content])
        for m in found.request.messages
    ]
    return shown, [ref.id for ref in found.moved]


def test_one_behind_an_instruction_gets_a_system_message_of_its_own(composer: Composer) -> None:
    text = f"Read this and answer.\n\n{LICENCE}\n\nWho signs?"
    assert placed(composer, chat(("user", text))) == (
        [
            ("system", [LICENCE]),
            ("user", [f"Read this and answer.\n\n{NOTE.format(1, 'licence')}\n\nWho signs?"]),
        ],
        ["licence"],
    )


def test_the_system_message_goes_on_behind_the_documents(composer: Composer) -> None:
    call = message("assistant", "", ToolCall("c", "read", "{}"))
    request = chat(("system", "Be brief."), ("user", f"<doc>{LICENCE}</doc> Why?"))
    request = replace(request, messages=(*request.messages, call, result("c", GPL), message("user", "And?")))
    shown, moved = placed(composer, request)
    assert shown[0] == ("system", [GPL, LICENCE, "Be brief."]) and moved == ["gpl", "licence"]
    assert shown[1] == ("user", [f"<doc>{NOTE.format(2, 'licence')}</doc> Why?"])
    assert shown[3] == ("tool", [NOTE.format(1, "gpl")])
    assert shown[2] == ("assistant", [])
    again = replace(request, messages=(*request.messages, message("assistant", LICENCE)))
    assert placed(composer, again)[0][:-1] == shown, "an answer that quotes a document stays"


def test_what_is_at_the_front_stays_and_the_others_follow(composer: Composer) -> None:
    roles: list[Role] = ["system", "user"]
    for role in roles:
        alone = chat((role, f"{LICENCE}\n\nAnswer."), ("user", "Q"))
        assert place_at_front(alone, composer.library, BOB).request is alone
        both = chat((role, f"{LICENCE}\n\nAnswer."), ("user", f"Also:\n{GPL}"))
        shown, moved = placed(composer, both)
        assert shown[0] == (role, [LICENCE, GPL, "\n\nAnswer."]) and moved == ["gpl"]
        assert shown[1] == ("user", [f"Also:\n{NOTE.format(2, 'gpl')}"])


def test_a_document_is_there_once(composer: Composer) -> None:
    request = chat(
        ("system", [LICENCE, "Rules."]), ("user", f"Again:\n{LICENCE}"), ("user", [DocumentRef("gpl"), "Q"])
    )
    shown, moved = placed(composer, request)
    assert shown[0][1] == [LICENCE, "gpl", "Rules."] and moved == ["licence", "gpl"]
    assert shown[1][1] == [f"Again:\n{NOTE.format(1, 'licence')}"] and shown[2][1] == [
        NOTE.format(2, "gpl"),
        "Q",
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"Read {LICENCE}",  # within a line's words
        f"Read:\n{LICENCE}s and more",  # the last word goes on
        f"Read:\n{WORDS}",  # less than a page
        f"Read:\n{LICENCE[:-1]}",
        "Read:\n" + "A page of Alice's own. " * 80,  # which Bob does not see
        "",
    ],
)
def test_what_is_no_document_of_the_callers_stays(composer: Composer, text: str) -> None:
    request = chat(("user", text))
    assert place_at_front(request, composer.library, BOB).request is request


def test_marks_stay_where_a_prefix_ends(composer: Composer) -> None:
    request = chat(("system", [LICENCE, "Rules."]), ("user", f"And:\n{GPL}"))
    first = replace(
        request.messages[0], content=(TextPart(LICENCE, mark=True), TextPart("Rules.", mark=True))
    )
    found = place_at_front(
        replace(request, messages=(first, *request.messages[1:])), composer.library, BOB
    ).request
    assert found.messages[0].content == (
        TextPart(LICENCE),
        TextPart(GPL),
        TextPart("", mark=True),
        TextPart("Rules.", mark=True),
    )
    composed = composer.compose(replace(found, placement="keep"), BOB)
    assert len(composed.marks) == 2 and composed.marks[0] == composed.documents[1].end


def test_a_reference_that_is_unknown_is_named_where_the_client_wrote_it(composer: Composer) -> None:
    request = chat(("user", ["Read", f"this:\n{LICENCE}", DocumentRef("none")]))
    with pytest.raises(DocumentNotFound) as caught:
        place_at_front(request, composer.library, BOB)
    assert caught.value.param == "messages[0].content[2].document"


def test_so_many_places_are_looked_at(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_placement, "MOST_PLACES", 5)
    assert placed(composer, chat(("user", "a\nb\nc\n" + LICENCE)))[1] == ["licence"]
    assert placed(composer, chat(("user", "a\nb\nc\nd\ne\nf\n" + LICENCE)))[1] == []


def test_the_prompt_begins_as_published_and_says_what_was_moved(composer: Composer) -> None:
    request = chat(("system", "Be brief."), ("user", f"Read this.\n{LICENCE}\nWho signs?"))
    kept, moved = (composer.compose(replace(request, placement=way), BOB) for way in ("keep", "front"))
    assert not kept.moved and not kept.documents and moved.moved == (DocumentRef("licence", 1),)
    (span,) = moved.documents
    assert span.scope == "public" and moved.known is not None
    messages = composer.plain_call(replace(request, placement="front"), BOB)["messages"]
    assert messages[0]["content"].startswith(LICENCE) and NOTE.format(1, "licence") in messages[1]["content"]


PIECES = ["Read:\n", "\n", " ", "Who?", LICENCE, GPL, WORDS]


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=5), min_size=1, max_size=4),
    system=st.booleans(),
)
def test_every_word_stays_and_a_second_placement_changes_nothing(
    composer: Composer, texts: list[list[int]], system: bool
) -> None:
    contents = ["".join(PIECES[i] for i in some) for some in texts]
    request = chat(*(("system" if system and not i else "user", text) for i, text in enumerate(contents)))
    found = place_at_front(request, composer.library, ALICE)
    shown = "\n".join(p.text for m in found.request.messages for p in m.content if isinstance(p, TextPart))
    for word in ("Read:", "Who?", WORDS.strip()):
        assert shown.count(word) == "\n".join(contents).count(word)
    for text in (LICENCE, GPL):
        at_places = f"\n{text}" in "".join(f"\n{c}" for c in contents)
        assert shown.count(text) >= at_places
    assert not any(isinstance(p, DocumentPart) for m in found.request.messages for p in m.content)
    assert place_at_front(found.request, composer.library, ALICE).request is found.request
