from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from kvproxy.engine.decode.text_deltas import TextDeltas
from kvproxy.events import Likelihood, TextDelta, TokenLogprob
from tests.engine.tiny import write_vocabulary

WORDS = ["STOP", "ST", "OP", "你", "aS"]
CONTROL = 256 + len(WORDS)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    """Ids 0 to 255 are the bytes, then WORDS, then a control token."""
    folder: Path = tmp_path_factory.mktemp("words")
    return Vocabulary(write_vocabulary(folder, WORDS))


def logprob(position: int, token: int) -> TokenLogprob:
    """One that says which token of the answer it is."""
    return TokenLogprob(Likelihood(token, b"", -float(position)))


def said(
    vocabulary: Vocabulary, tokens: list[int], stop: tuple[str, ...] = (), min_tokens: int = 0
) -> list[TextDelta]:
    deltas = TextDeltas(Detokenizer(vocabulary, stop, min_tokens=min_tokens))
    out = []
    for i, token in enumerate(tokens):
        out.append(deltas.push(token, logprob(i, token)))
        if deltas.stopped_by is not None:
            break
    return [d for d in (*out, deltas.flush()) if d is not None]


def positions(delta: TextDelta) -> list[int]:
    """Return the answer's tokens that a delta has."""
    return [int(-t.chosen.logprob) for t in delta.logprobs]


def test_a_character_of_several_tokens_comes_with_all_of_them(words: Vocabulary) -> None:
    deltas = said(words, list("a你b".encode()))
    assert [d.text for d in deltas] == ["a", "你", "b"]
    assert [positions(d) for d in deltas] == [[0], [1, 2, 3], [4]]
    assert [d.tokens for d in deltas] == [1, 3, 1]


def test_tokens_that_are_held_back_come_with_what_releases_them(words: Vocabulary) -> None:
    deltas = said(words, list(b"xSTOqP"), ("STOP",))
    assert [(d.text, positions(d)) for d in deltas] == [("x", [0]), ("STOq", [1, 2, 3, 4]), ("P", [5])]


def test_tokens_that_a_stop_string_cuts_are_dropped(words: Vocabulary) -> None:
    deltas = said(words, list(b"xySTOP more"), ("STOP",))
    assert [(d.text, positions(d)) for d in deltas] == [("x", [0]), ("y", [1])]


def test_a_token_that_is_shown_in_part_counts_once(words: Vocabulary) -> None:
    mixed = 256 + WORDS.index("aS")
    stopped = said(words, [mixed, *b"TOP"], ("STOP",))
    assert [(d.text, positions(d)) for d in stopped] == [("a", [0])]
    free = said(words, [mixed, *b"x"], ("STOP",))
    assert [(d.text, positions(d)) for d in free] == [("a", [0]), ("Sx", [1])]


def test_a_control_token_comes_with_the_next_text_or_with_the_last(words: Vocabulary) -> None:
    assert [positions(d) for d in said(words, [*b"a", CONTROL, *b"b"])] == [[0], [1, 2]]
    held = said(words, [*b"ST", CONTROL], ("STOP",))
    assert [(d.text, positions(d)) for d in held] == [("ST", [0, 1, 2])]
    assert said(words, [CONTROL]) == [], "no delta without text"


def test_an_incomplete_character_at_the_end_has_its_tokens(words: Vocabulary) -> None:
    deltas = said(words, list(b"a\xf0\x9f"))
    assert [(d.text, positions(d)) for d in deltas] == [("a", [0]), ("\ufffd", [1, 2])]


def test_without_logprobs_tokens_are_still_counted(words: Vocabulary) -> None:
    deltas = TextDeltas(Detokenizer(words))
    assert deltas.push(0xE4) is None and deltas.push(0xBD) is None
    assert deltas.push(0xA0) == TextDelta("你", 3, ())


def test_a_stop_string_within_min_tokens_is_text(words: Vocabulary) -> None:
    stop = 256 + WORDS.index("STOP")
    assert "".join(d.text for d in said(words, [stop, *b"abc", stop, *b"d"], ("STOP",), 2)) == "STOPabc"
    assert "".join(d.text for d in said(words, list(b"STOP..."), ("STOP",), 4)) == "STOP..."
    assert "".join(d.text for d in said(words, list(b"STOP..."), ("STOP",), 3)) == "", (
        "complete with the fourth"
    )


def test_the_stop_string_that_ended_it_is_known(words: Vocabulary) -> None:
    deltas = TextDeltas(Detokenizer(words, ("never", "O", "STOP")))
    for token in b"ST":
        deltas.push(token)
    assert deltas.stopped_by is None
    deltas.push(ord("O"))
    assert deltas.stopped_by == "O"


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    tokens=st.lists(st.sampled_from([*b"abSTOP", *"你🙂".encode(), *range(256, CONTROL + 1)]), max_size=25),
    stops=st.lists(st.text(alphabet="abSTOP你", min_size=1, max_size=4), max_size=2),
    min_tokens=st.integers(0, 6),
)
def test_every_token_is_in_the_delta_of_its_first_character_and_in_no_other(
    words: Vocabulary, tokens: list[int], stops: list[str], min_tokens: int
) -> None:
    deltas = said(words, tokens, tuple(stops), min_tokens)
    text = Detokenizer(words, tuple(stops), min_tokens=min_tokens)
    shown = "".join(text.push(t) for t in tokens if not text.done) + text.flush()
    assert "".join(d.text for d in deltas) == shown
    assert all(d.text and d.tokens == len(d.logprobs) for d in deltas)
    order = [p for d in deltas for p in positions(d)]
    assert order == list(range(len(order))), "in order, none twice, none left out before a later one"
    if not stops and "\ufffd" not in shown:
        # Read on its own, each delta's tokens spell its text, and what is left spells nothing. (Of bytes that are
        # no text it is not known where a character begins: there a token may come a delta early.)
        for delta in deltas:
            spelled = b"".join(words.token_bytes(t.chosen.token_id) for t in delta.logprobs)
            assert spelled.decode("utf-8", "replace") == delta.text
        assert all(t == CONTROL for t in tokens[len(order) :])
