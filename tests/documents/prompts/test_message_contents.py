from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import ChatRequest, DocumentPart, Message, Part, Prompt, TextPart, Tool, ToolCall
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents.conversation import ALICE, APACHE, BOB, LOOKUP, REF, build, message, publish
from tests.documents.tokens.test_token_join import ATOMS

CLEAN = APACHE.strip()
RULES = "You answer questions about licences, in one paragraph, and you quote the text where it helps. Rules:"


@pytest.fixture(scope="module")
def composer(folder: Path, tokenizer: Tokenizer) -> Composer:
    composer = build(folder, tokenizer)
    publish(composer, "apache", CLEAN)
    return composer


def marked(text: str) -> TextPart:
    return TextPart(text, mark=True)


def composed(composer: Composer, *messages: Message, tools: tuple[Tool, ...] = ()) -> Prompt:
    return composer.compose(ChatRequest("m", messages, tools=tools), BOB)


def without_marks(message_: Message) -> Message:
    parts: list[Part] = [
        TextPart(p.text) if isinstance(p, TextPart) else DocumentPart(p.document) for p in message_.content
    ]
    return Message(message_.role, tuple(parts), message_.tool_calls, message_.tool_call_id)


CONVERSATION = (
    Message(
        "system",
        (marked(RULES + "\n"), DocumentPart(REF, mark=True), marked("Be brief, and be kind to all.")),
    ),
    Message("user", (marked("  What does it say about patents, and where?  "), TextPart("Q"))),
    Message("assistant", (marked("It is in section three."),), (ToolCall("c", "now", "{}"),)),
    Message("tool", (marked("It is noon, and the office is closed until two."),), tool_call_id="c"),
    Message("user", (marked("ok"), marked(" "), marked(APACHE + "And this one, what of it, then?"))),
)


def test_marks_change_no_token(composer: Composer) -> None:
    plain = composed(composer, *map(without_marks, CONVERSATION))
    prompt = composed(composer, *CONVERSATION)
    assert prompt.token_ids == plain.token_ids and prompt.documents == plain.documents
    # The mark on the assistant message moves to the question: that may be decided no further than before it.
    assert plain.marks == () and len(prompt.marks) in (7, 8)
    assert prompt.marks[1] == prompt.documents[0].end
    assert prompt.marks == tuple(sorted(prompt.marks)) and prompt.marks[-1] < len(prompt.token_ids)


@pytest.mark.parametrize("tools", [(), (LOOKUP,)])
def test_a_mark_keeps_nearly_all_of_its_part(
    composer: Composer, tokenizer: Tokenizer, tools: tuple[Tool]
) -> None:
    prompt = composed(composer, Message("system", (marked(RULES),)), message("user", "Q"), tools=tools)
    (end,) = prompt.marks
    kept = tokenizer.decode(prompt.token_ids[:end], skip_special=True)
    assert kept.removeprefix("system\n") in RULES and len(RULES) - len(kept) < 30


def test_a_document_ends_at_its_own_mark(composer: Composer) -> None:
    for content in (DocumentPart(REF, mark=True), marked(CLEAN), marked(CLEAN + "\n\n")):
        prompt = composed(composer, Message("system", (content, TextPart("Brief."))), message("user", "Q"))
        (span,) = prompt.documents
        assert prompt.marks == (span.end,) and span.scope == "public"


@settings(max_examples=60, deadline=None)
@given(
    text=st.lists(st.sampled_from(ATOMS), max_size=12).map("".join),
    tails=st.tuples(*[st.lists(st.sampled_from(ATOMS), max_size=4).map("".join)] * 2),
)
def test_the_prefix_before_a_mark_is_the_same_for_any_text_behind_it(
    composer: Composer, text: str, tails: tuple[str, str]
) -> None:
    def prompt(tail: str) -> Prompt:
        parts = (marked(RULES + text), TextPart(tail))
        return composed(composer, Message("system", parts), message("user", tail + "Q"))

    one, other = map(prompt, tails)
    assert one.marks == other.marks and len(one.marks) == 1
    assert one.token_ids[: one.marks[0]] == other.token_ids[: one.marks[0]]


def test_a_mark_that_names_none_of_the_clients_words_is_none(composer: Composer) -> None:
    assert composed(composer, Message("user", (marked("Hi"),))).marks == ()
    assert composed(composer, Message("user", (marked(" \n"),))).marks == ()
    assert composed(composer, Message("assistant", (marked(RULES),)), message("user", "Q")).marks == ()


def test_a_mark_moves_to_where_one_can_stand(composer: Composer) -> None:
    first = Message("user", (TextPart(RULES),))
    here = composed(
        composer, Message("user", (marked(RULES),)), message("assistant", "Yes."), message("user", "Q")
    )
    moved = composed(composer, first, Message("assistant", (marked("Yes."),)), message("user", "Q"))
    assert moved == here and len(here.marks) == 1


def test_a_short_marked_message_keeps_the_tokens_before_it(composer: Composer, tokenizer: Tokenizer) -> None:
    prompt = composed(
        composer, message("user", RULES), message("assistant", "Yes."), Message("user", (marked("Go."),))
    )
    (end,) = prompt.marks
    assert (
        RULES in tokenizer.decode(prompt.token_ids[:end])
        and prompt.token_ids[end - 1] in tokenizer.control.values()
    )


def test_a_private_documents_mark_is_invisible_to_other_callers(folder: Path, tokenizer: Tokenizer) -> None:
    knowing, bare = build(folder, tokenizer), build(folder, tokenizer)
    publish(knowing, "plan", APACHE, visibility="private", owner_scope=ALICE.scope)
    messages = (Message("system", (marked(CLEAN),)), message("user", "Q"))
    assert composed(knowing, *messages) == composed(bare, *messages)
