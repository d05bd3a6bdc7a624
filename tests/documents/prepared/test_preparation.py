"""A text in another spelling is the same document, with pages of its own where its tokens are others."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from kvproxy.core import ChatRequest, Message, TextPart, TextRequest
from kvproxy.documents.library.document import Document, Framing, etag_of
from kvproxy.documents.library.known_document import KnownDocument
from kvproxy.documents.library.library import Library
from kvproxy.documents.prepared.preparation import Preparation, SpellingPolicy
from kvproxy.documents.prepared.prepared_texts import PreparedTexts
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents.conversation import ALICE, APACHE, BOB, chat
from tests.documents.models import KINDS, write_model

FRAMINGS = (Framing("system"), Framing("user"), Framing("text"))
RULES = "".join(f"Rule {i}: everyone shall do what rule {i + 1} says.\r\n" for i in range(30))
LIMIT = 100_000


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture
def composer(folder: Path) -> Composer:
    return Composer(Tokenizer.load(folder), ChatTemplate.load(folder), Library(), FRAMINGS)


def publish(composer: Composer, id: str, text: str, policy: SpellingPolicy = "auto") -> KnownDocument:
    document = Document(id, 1, text, etag_of(text), "public", ALICE.scope, 0)
    known = Preparation(composer, policy).prepare(text, LIMIT).known(document)
    composer.library.add(known)
    return known


def requests(text: str) -> dict[str, ChatRequest | TextRequest]:
    return {
        "system": chat(("system", text), ("user", "What?")),
        "user": ChatRequest("m", (Message("user", (TextPart(text), TextPart("What?"))),)),
        "text": TextRequest("m", text + "\nWhat?"),
    }


VARIANTS: dict[str, Callable[[str], str]] = {
    "as published": lambda text: text,
    "read as text": lambda text: text.replace("\r\n", "\n"),
    "stripped": str.strip,
    "read as text, stripped": lambda text: text.replace("\r\n", "\n").strip(),
    "without its mark": lambda text: text.removeprefix("\ufeff"),
    "as JavaScript trims it": lambda text: text.strip().strip("\ufeff").strip(),
    "all of it": lambda text: text.removeprefix("\ufeff").replace("\r\n", "\n").strip(),
    "with another end": lambda text: text.rstrip() + " \t\n\n",
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("front", ["", "\n", "\r\n  ", "\ufeff", "\ufeff\r\n"], ids=ascii)
def test_every_variant_is_the_document_and_has_its_pages(
    composer: Composer, variant: str, front: str
) -> None:
    known = publish(composer, "rules", front + RULES)
    sent = VARIANTS[variant](front + RULES)
    for framing in composer.framings:
        prompt = composer.compose(requests(sent)[framing.name], BOB)
        (span,) = prompt.documents
        assert span.document == known.document.ref and span.scope == "public"
        assert span.end - span.start > 0.95 * len(known.tokenized.token_ids) * len(sent) / len(RULES) - 20
        # Its own tokens, not those of another spelling.
        fresh = Composer(composer._tokenizer, composer._template, Library(), FRAMINGS)
        assert prompt.token_ids == fresh.compose(requests(sent)[framing.name], BOB).token_ids


def test_a_text_without_variants_has_one_spelling(composer: Composer) -> None:
    known = publish(composer, "rules", RULES.replace("\r\n", "\n"))
    assert known.others == () and [p.name for p in known.prefixes] == [f.name for f in composer.framings]


def test_the_shipped_licence_is_found_when_it_was_stripped(composer: Composer) -> None:
    known = publish(composer, "apache", APACHE)
    assert APACHE.startswith("\n") and [s.name for s in known.others] == ["stripped"]
    assert known.others[0].tokenized is known.tokenized, "what stands before it is not its core"
    (span,) = composer.compose(requests(APACHE.strip())["system"], BOB).documents
    assert span.scope == "public" and span.document == known.document.ref


def test_a_spelling_that_differs_behind_the_cut_shares_the_pages(composer: Composer) -> None:
    text = RULES.replace("\r\n", "\n") + "The end\r\nis near."
    known = publish(composer, "rules", text)
    assert [s.name for s in known.others] == ["lf"]
    assert [p.name for p in known.prefixes] == [f.name for f in composer.framings]
    (span,) = composer.compose(requests(text.replace("\r\n", "\n"))["system"], BOB).documents
    assert (span.document, span.scope) == (known.document.ref, "public")


def test_exact_means_as_published(composer: Composer) -> None:
    known = publish(composer, "rules", RULES, "exact")
    assert known.others == ()
    assert composer.compose(requests(RULES.replace("\r\n", "\n"))["system"], BOB).documents == ()


def test_a_reference_stands_for_the_text_as_published(composer: Composer) -> None:
    known = publish(composer, "rules", "\ufeff" + RULES)
    sent = chat(("system", known.document.ref), ("user", "What?"))
    same = composer.compose(requests("\ufeff" + RULES)["system"], BOB)
    assert composer.compose(sent, BOB).token_ids == same.token_ids


def test_a_prefix_over_the_limit_is_left_out(composer: Composer) -> None:
    everything = Preparation(composer).prepare(RULES, LIMIT)
    longest = max(len(p.token_ids) for p in everything.prefixes if p.spelling != "published")
    fewer = Preparation(composer).prepare(RULES, longest - 1)
    assert len(fewer.prefixes) < len(everything.prefixes)
    assert [p for p in fewer.prefixes if p.spelling == "published"] == [
        p for p in everything.prefixes if p.spelling == "published"
    ]


def test_a_tool_result_and_a_part_of_a_message_are_recognised(composer: Composer) -> None:
    known = publish(composer, "rules", RULES)
    text = RULES.replace("\r\n", "\n")
    for content in (["Read this:", text], [text, "What?"]):
        prompt = composer.compose(chat(("system", "You are S."), ("user", list(content))), BOB)
        assert [s.document for s in prompt.documents] == [known.document.ref]


@pytest.mark.parametrize("published", ["NFC", "NFD"])
@pytest.mark.parametrize("sent", ["NFC", "NFD"])
def test_a_normal_form_is_the_document_where_its_tokens_are_the_same(
    composer: Composer, published: Literal["NFC", "NFD"], sent: Literal["NFC", "NFD"]
) -> None:
    text = "".join(f"Straße {i}: naïve Größen, déjà vu, \ud55c\uad6d\uc5b4 und \u00c5.\n" for i in range(60))
    known = publish(composer, "forms", unicodedata.normalize(published, text))
    normalizes = composer.joins_normalized
    assert [o.name for o in known.others] == ([{"NFC": "nfd", "NFD": "nfc"}[published]] if normalizes else [])
    assert len(known.prefixes) == len(FRAMINGS), "no form needs pages of its own"
    fresh = Composer(composer._tokenizer, composer._template, Library(), FRAMINGS)
    for framing in composer.framings:
        request = requests(unicodedata.normalize(sent, text))[framing.name]
        prompt = composer.compose(request, BOB)
        assert [span.scope for span in prompt.documents] == (
            ["public"] if normalizes or sent == published else []
        )
        assert prompt.token_ids == fresh.compose(request, BOB).token_ids


def test_prepared_texts_are_read_back_with_their_forms_and_share_their_ids(
    composer: Composer, tmp_path: Path
) -> None:
    known = publish(composer, "forms", "\ufeff" + RULES + "Größe und Maß.")
    texts = PreparedTexts(tmp_path / "prepared.sqlite3", "recipe")
    with closing(texts):
        texts.put(known.document, Preparation(composer).prepare(known.document.text, LIMIT))
        one, two = texts.get(known.document), texts.get(known.document)
        assert one is not None and two is not None and one.known(known.document) == known
        assert ("nfd" in [o.name for o in one.others]) == composer.joins_normalized
        pairs = zip(one.tokenized.token_ids, two.tokenized.token_ids, strict=True)
        assert all(a is b for a, b in pairs), "an id is one object"


def test_one_text_published_in_two_spellings(composer: Composer) -> None:
    """Each stays as published; after one is deleted, the other one's readers find the other."""
    lines, bare = RULES, RULES.replace("\r\n", "\n")
    one, two = publish(composer, "crlf", lines), publish(composer, "lf", bare)

    def found(text: str) -> str:
        (span,) = composer.compose(requests(text)["system"], BOB).documents
        assert span.scope == "public"
        return span.document.id

    assert (found(lines), found(bare)) == ("crlf", "lf")
    assert {p.token_ids for p in two.prefixes} <= {p.token_ids for p in one.prefixes}, "one prefill for both"
    composer.library.remove(two.document.ref)
    assert (found(lines), found(bare)) == ("crlf", "crlf")
    composer.library.remove(one.document.ref)
    assert len(composer.library) == 0 and composer.library.find_at_front(bare, BOB) is None
