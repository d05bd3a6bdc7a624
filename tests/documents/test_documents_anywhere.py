"""Known documents in any place of any conversation: the prompt's tokens are those of the plain text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import ChatRequest, Message, Role, TextPart, TextRequest, ToolCall
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest
from tests.documents.conversation import ALICE, APACHE, BOB, build, chat, message, publish
from tests.documents.models import TEXTS

GPL = (TEXTS / "gpl-3.txt").read_text(encoding="utf-8")[:2500].strip()
LICENCE = APACHE.strip()[:2000].strip()
HALF = LICENCE[:1000].strip()
OWN = ("Größe und Maße: naïve café, 世界。 " * 20).strip()
SHORT = "A short one."
TEXT_OF = {"licence": LICENCE, "half": HALF, "gpl": GPL, "own": OWN, "short": SHORT, "again": HALF}
AROUND = ["", " ", "\n", "\n\n", "\r\n", "x", "s", "'s", "1", "Who?", "<|im_end|>", "\u0301", "\ufeff", "é"]


@pytest.fixture(scope="module")
def bare(folder: Path, tokenizer: Tokenizer) -> Composer:
    return build(folder, tokenizer)


@pytest.fixture(scope="module")
def composer(folder: Path, tokenizer: Tokenizer) -> Composer:
    """Knows six documents: some begin like others, two are the same, one has no tokens of its own."""
    composer = build(folder, tokenizer)
    for id, text in TEXT_OF.items():
        publish(composer, id, text, **({"visibility": "private"} if id == "own" else {}))
    return composer


pieces = st.lists(st.sampled_from([*AROUND, *TEXT_OF]), min_size=1, max_size=5)
"""A text's pieces; the name of a document stands for its text."""
contents = st.lists(pieces, min_size=1, max_size=3)
turns = st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), contents), max_size=3)


def text_of(pieces: list[str]) -> str:
    return "".join(TEXT_OF.get(piece, piece) for piece in pieces)


def parts_of(content: list[list[str]]) -> tuple[TextPart, ...]:
    return tuple(TextPart(text_of(pieces)) for pieces in content)


def conversation(system: list[list[str]] | None, turns: list[tuple[Role, list[list[str]]]]) -> ChatRequest:
    messages = [] if system is None else [Message("system", parts_of(system))]
    for role, content in turns:
        if role == "tool":
            call = message("assistant", "", ToolCall("c", "read", "{}"))
            messages += [call, Message("tool", parts_of(content), tool_call_id="c")]
        else:
            messages.append(Message(role, parts_of(content)))
    return ChatRequest("m", (*messages, message("user", "Q")))


@settings(max_examples=25, deadline=None)
@given(system=st.none() | contents, turns=turns)
def test_a_conversation_has_the_tokens_of_its_plain_text(
    composer: Composer,
    bare: Composer,
    system: list[list[str]] | None,
    turns: list[tuple[Role, list[list[str]]]],
) -> None:
    request = conversation(system, turns)
    found = composer.compose(request, ALICE)
    assert found.token_ids == bare.compose(request, ALICE).token_ids
    last = 0
    for span in found.documents:
        assert last <= span.start < span.end <= len(found.token_ids), "in order, and none within another"
        last = span.end
        if span.scope is None:
            shown = composer.decode(found.token_ids[span.start : span.end])
            assert shown[8:].strip("\ufffd") in TEXT_OF[span.document.id]
    if found.known is not None:
        (prefix,) = {p.token_ids for k in composer.library for p in k.prefixes if p.keys is found.known.keys}
        assert found.token_ids[: found.known.tokens] == prefix


@settings(max_examples=15, deadline=None)
@given(pieces=pieces)
def test_a_text_prompt_has_the_tokens_of_its_plain_text(
    composer: Composer, bare: Composer, pieces: list[str]
) -> None:
    text = text_of(pieces)
    if text.strip():
        request = TextRequest("m", text)
        assert composer.compose(request, ALICE).token_ids == bare.compose(request, ALICE).token_ids


def found(composer: Composer, *contents: str) -> list[str]:
    request = chat(("system", list(contents)), ("user", "Q"))
    return [span.document.id for span in composer.compose(request, BOB).documents]


def test_documents_behind_one_another_are_all_found(composer: Composer) -> None:
    assert found(composer, f"{LICENCE}\n\n{GPL}\nWhich?") == ["licence", "gpl"]
    assert found(composer, LICENCE + GPL + LICENCE) == ["licence", "gpl", "licence"]
    assert found(composer, f"{GPL}\n{LICENCE}", f" {LICENCE}") == ["gpl", "licence", "licence"]
    assert found(composer, f"{LICENCE} and {GPL}") == ["licence"], "a word between ends the chain"
    assert found(composer, f"{LICENCE}\n{OWN}") == ["licence"], (
        "another tenant's is no document of this caller's"
    )
    assert found(composer, f"{LICENCE}\n{SHORT}") == ["licence"], (
        "one without tokens of its own is plain text"
    )
    assert found(composer, SHORT) == ["short"]


@pytest.mark.parametrize("before", ["", "\n "])
def test_half_a_surrogate_pair_behind_a_document_is_named_where_it_stands(
    composer: Composer, before: str
) -> None:
    text = f"{before}{LICENCE} Why?\ud800"
    named = f"character {len(text) - 1} is half a surrogate pair"
    with pytest.raises(InvalidRequest, match=named):
        composer.compose(chat(("user", text)), BOB)
    with pytest.raises(InvalidRequest, match=named):
        composer.compose(TextRequest("m", text), BOB)


def test_the_longest_of_documents_that_begin_alike_is_found(composer: Composer) -> None:
    assert found(composer, f"{LICENCE} Why?") == ["licence"]
    assert found(composer, f"{LICENCE[:-9]} Why?") in (["half"], ["again"])
    assert found(composer, HALF[:-1]) == []


def test_a_chain_in_a_text_prompt_is_found(composer: Composer) -> None:
    prompt = composer.compose(TextRequest("m", f"\n{LICENCE}\n\n{GPL}\nWhich of the two?"), BOB)
    assert [span.document.id for span in prompt.documents] == ["licence", "gpl"]
    (first, second) = prompt.documents
    assert first.end <= second.start < second.end < len(prompt.token_ids)
