"""The tokens of a joined text are those of the whole text, always."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvproxy.documents.library.document import TokenizedDocument
from kvproxy.documents.tokens.escape import Stop
from kvproxy.documents.tokens.joined_tokens import DocumentPlace
from kvproxy.documents.tokens.token_join import TokenJoiner
from kvproxy.documents.tokens.tokenizer import Tokenizer

# The subjects of patterns, normalisers and byte-level BPE: all kinds of white space, contractions, digits,
# punctuation, control strings, marks that compose with the text before, scripts without spaces, emoji.
ATOMS = [
    *(" ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\u2003"),
    *("a", "e", "the", " cat", "THE", "'", "'s", "'r", "'re", "'l", "'v", "'ve", "\u2019", "'S", "\u017f"),
    *("1", "12", "123", "4567", "\u0663", "\u00bd", ",", ".", "...", "!?", "_", "//", "{", '["x"]', "="),
    *("<", "|", "<|im_end|>", "<tool_call>", "</think>", "def f():\n    return 1\n"),
    *("\u00e9", "e\u0301", "\u0301", "\u0327", "\u0338", "\u304b\u3099", "\u3099", "\u1fb3", "\u0344"),
    *("\u4e16\u754c", "\u3002", "\ud55c", "\u1112", "\u1161", "\u11ab", "\uac00", "\u11a8", "\u0958"),
    *("\u0639", "\u0631", "\u0651", "\u0928\u093f", "\u0915\u094d", "\u0e17", "\u0e48", "\u2126", "\ufb06"),
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u200d", "\ufe0f", "\U0001f1e9\U0001f1ea"),
    *("\U00016d63", "\U00016d67", "\U000113c2", "\x00", "\ufdd0", "\ufffe", "\U0010ffff"),
]
TEXT = st.lists(st.sampled_from(ATOMS), max_size=10).map("".join) | st.text(max_size=12)
DOCUMENT = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=70).map("".join) | st.text(min_size=1)


def encode(
    joiner: TokenJoiner, texts: Sequence[str], documents: Sequence[TokenizedDocument]
) -> tuple[list[int], list[DocumentPlace]]:
    joined = joiner.encode(texts, documents)
    return joined.token_ids, joined.places


quick = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@quick
@given(before=TEXT, text=DOCUMENT, after=TEXT)
def test_joining_is_exact(tokenizer: Tokenizer, before: str, text: str, after: str) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(text)
    tokens, (mark,) = encode(joiner, [before, after], [document])
    assert tokens == tokenizer.encode_text(before + document.core + after)
    assert 0 <= mark.start <= mark.end <= len(tokens)


@quick
@given(texts=st.tuples(TEXT, TEXT, TEXT), one=DOCUMENT, other=DOCUMENT)
def test_several_documents_join_exactly(
    tokenizer: Tokenizer, texts: tuple[str, str, str], one: str, other: str
) -> None:
    joiner = TokenJoiner(tokenizer)
    first, second = joiner.tokenize(one), joiner.tokenize(other)
    tokens, marks = encode(joiner, texts, [first, second])
    assert tokens == tokenizer.encode_text(texts[0] + first.core + texts[1] + second.core + texts[2])
    assert len(marks) == 2


@quick
@given(text=DOCUMENT, after=TEXT)
def test_no_tail_moves_the_cut(tokenizer: Tokenizer, text: str, after: str) -> None:
    document = TokenJoiner(tokenizer).tokenize(text)
    tokens = tokenizer.encode_text(document.core + after)
    assert tuple(tokens[: document.cut_token]) == document.token_ids[: document.cut_token]
    assert tokens[document.cut_token :] == tokenizer.encode_text(document.core[document.cut :] + after)


def long(text: str) -> str:
    return "A long enough start of ordinary words, so that there is something to keep. " * 8 + text


# One line for each way in which a simpler rule (cut at the last piece, keep all but the last token, encode
# the text before by itself) gives other tokens.
@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        pytest.param("", long("don'v"), "e", id="contraction grows"),
        pytest.param("", long("done."), "\n\nNext", id="punctuation takes newlines"),
        pytest.param("", long("12"), "345", id="digits group"),
        pytest.param("", long("cafe"), "\u0301", id="accent composes"),
        pytest.param("", long("\u1112\u1161"), "\u11ab", id="jamo compose"),
        pytest.param("", long("wor"), "d", id="word grows"),
        pytest.param(" \u2003", long(""), "", id="spaces before split by what follows"),
        pytest.param("x ", long(""), "", id="space joins the first word"),
        pytest.param("(", long(""), "", id="bracket joins the first word"),
        pytest.param("12", "3456 " + long(""), "", id="digits regroup at the start"),
        pytest.param("e", "\u0301" + long(""), "", id="the document starts with an accent"),
    ],
)
def test_known_traps(tokenizer: Tokenizer, before: str, text: str, after: str) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(text)
    assert document.cut > 0, "long enough to be joined, not encoded whole"
    tokens, _ = encode(joiner, [before, after], [document])
    assert tokens == tokenizer.encode_text(before + document.core + after)


class Counting(Tokenizer):
    """Counts the characters it encodes."""

    encoded = 0

    def encode_text(self, text: str) -> list[int]:
        self.encoded += len(text)
        return super().encode_text(text)


def test_a_known_document_is_not_encoded_again(folder: Path, tokenizer: Tokenizer) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(long("") * 20)
    counting = Counting.load(folder)
    again = TokenJoiner(counting)
    counting.encoded = 0
    tokens, (mark,) = encode(again, ["user\n", "\n\nWhat?"], [document])
    assert tokens == tokenizer.encode_text("user\n" + document.core + "\n\nWhat?")
    assert counting.encoded < 2000 < len(document.core)
    assert tuple(tokens[mark.start : mark.end]) == document.token_ids[: document.cut_token]
    again.encode(["user\n", "\n\nWhat?"], [document], scope="a")
    counting.encoded = 0
    again.encode(["user\n", "\n\nWhy?"], [document], scope="a")
    assert counting.encoded < 100, "what stands before it is remembered"
    again.encode(["user\n", "\n\nWhy?"], [document])
    assert counting.encoded > 100, "without a scope nothing is remembered, nor found"


def test_the_memo_of_texts_before_documents_is_bounded(tokenizer: Tokenizer) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(long(""))
    for i in range(joiner.MEMO_ENTRIES + 20):
        joiner.encode([f"{i} ", ""], [document], scope="a")
    joiner.encode(["x" * (joiner.MEMO_CHARACTERS + 1), ""], [document], scope="a")
    assert joiner.remembered == joiner.MEMO_ENTRIES


@pytest.mark.parametrize("text", ["a", "Hello", "123", "。", "e\u0301", "x " * 3])
def test_tiny_documents_are_encoded_with_their_surroundings(tokenizer: Tokenizer, text: str) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(text)
    assert (document.cut, document.entries) == (0, ())
    tokens, (mark,) = encode(joiner, ["user\n", " then"], [document])
    assert tokens == tokenizer.encode_text("user\n" + document.core + " then")
    assert mark.end >= mark.start


def test_an_unknown_kind_of_tokenizer_is_slow_and_right(folder: Path, tokenizer: Tokenizer) -> None:
    unknown = Tokenizer.load(folder)
    unknown.join_unsupported = "made so by this test"
    joiner = TokenJoiner(unknown)
    document: TokenizedDocument = joiner.tokenize(long("don'v"))
    assert document.cut == 0
    tokens, (mark,) = encode(joiner, ["user\n", "e"], [document])
    assert tokens == tokenizer.encode_text("user\n" + document.core + "e")
    assert tokens[: mark.end] == tokenizer.encode_text("user\n" + document.core)[: mark.end]
    assert mark.end > len(tokens) - 4


@quick
@given(text=DOCUMENT, one=TEXT, other=TEXT)
def test_no_tail_changes_the_tokens_before_a_stop(
    tokenizer: Tokenizer, text: str, one: str, other: str
) -> None:
    joiner, stop = TokenJoiner(tokenizer), [Stop(7, 0, len(text))]
    first, second = joiner.encode([text + one], [], stop), joiner.encode([text + other], [], stop)
    assert first.token_ids == tokenizer.encode_text(text + one)
    assert first.stops == second.stops
    ((mark, end),) = first.stops
    assert mark == 7 and first.token_ids[:end] == second.token_ids[:end]


@pytest.mark.parametrize("tail", ["", "\n\nNext", "s", " and more", "\u0301", "0"])
def test_a_stop_keeps_nearly_all_of_a_long_text(tokenizer: Tokenizer, tail: str) -> None:
    text = long("done")
    joined = TokenJoiner(tokenizer).encode([text + tail], [], [Stop(0, 0, len(text))])
    ((_, end),) = joined.stops
    assert end > 0.9 * len(tokenizer.encode_text(text))


def test_stops_around_a_document(tokenizer: Tokenizer) -> None:
    joiner = TokenJoiner(tokenizer)
    document = joiner.tokenize(long(""))
    before, after = "user\n" + long("one."), "\n\n" + long("two.")
    stops = [Stop(0, 0, len(before)), Stop(1, 1, 0), Stop(2, 1, len(after))]
    joined = joiner.encode([before, after + " three"], [document], stops)
    assert joined.token_ids == tokenizer.encode_text(before + document.core + after + " three")
    (mark,) = joined.places
    first, second, third = (end for _, end in joined.stops)
    assert 0 < first <= mark.start < second == mark.end < third < len(joined.token_ids)
    short = joiner.encode(["user\n", ""], [document], [Stop(0, 0, 5)])
    assert short.stops == [(0, 0)], "too little to decide anything"


def test_stops_of_an_unknown_kind_of_tokenizer_decide_nothing(folder: Path) -> None:
    unknown = Tokenizer.load(folder)
    unknown.join_unsupported = "made so by this test"
    assert TokenJoiner(unknown).encode([long("x")], [], [Stop(3, 0, 400)]).stops == [(3, 0)]
