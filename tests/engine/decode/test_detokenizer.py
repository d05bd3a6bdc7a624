from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from kvproxy.engine.decode.detokenizer import Detokenizer, Vocabulary
from tests.engine.tiny import byte_alphabet, write_vocabulary

TEXTS = [
    "plain words, nothing more.\n\tindented",
    "naïve café — “quotes” … ½",
    "你好,世界。文書の処理 한국어 문장",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 e\u0301 नमस्ते عربى",
    "a\u0000b\u200b\U0001f9ff",
]
WORDS = ["STOP", "ST", "OP", "END!", "你", "he"]


@pytest.fixture(scope="module")
def bytes_only(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    """Ids 0 to 255 are the bytes."""
    return Vocabulary(write_vocabulary(tmp_path_factory.mktemp("words"), WORDS))


def pieces(vocabulary: Vocabulary, ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    """Return the text shown after each token, and at the end."""
    detokenizer = Detokenizer(vocabulary, stop)
    shown = []
    for token in ids:
        shown.append(detokenizer.push(token))
        if detokenizer.done:
            break
    return [*shown, detokenizer.flush()]


@pytest.mark.parametrize("text", TEXTS)
def test_half_a_character_is_never_shown(bytes_only: Vocabulary, text: str) -> None:
    """One byte a token: the finest split there is."""
    shown = pieces(bytes_only, list(text.encode()))
    assert "".join(shown) == text
    assert all("\ufffd" not in s for s in shown)
    assert [s for s in shown if s] == list(text), "each character as soon as it is whole"


@pytest.mark.parametrize("text", TEXTS)
def test_a_real_vocabulary(smollm2: Path, text: str) -> None:
    vocabulary = Vocabulary(smollm2)
    ids = Tokenizer.from_file(str(smollm2 / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    shown = pieces(vocabulary, ids)
    assert "".join(shown) == vocabulary.decode(ids) == text
    assert all("\ufffd" not in s for s in shown)


def test_any_ids_of_a_real_vocabulary_give_what_decoding_them_whole_gives(smollm2: Path) -> None:
    vocabulary, source = Vocabulary(smollm2), random.Random(4)
    for _ in range(200):
        ids = [source.randrange(49_152) for _ in range(30)]
        assert "".join(pieces(vocabulary, ids)) == vocabulary.decode(ids)


def test_an_incomplete_character_at_the_end_is_replaced_once(bytes_only: Vocabulary) -> None:
    assert pieces(bytes_only, list(b"a\xf0\x9f")) == ["a", "", "", "\ufffd"]


def test_bytes_that_are_no_text_are_replaced_as_soon_as_that_is_known(bytes_only: Vocabulary) -> None:
    assert "".join(pieces(bytes_only, list(b"a\xffb\xe4c"))) == "a\ufffdb\ufffdc"


def test_control_tokens_and_unknown_ids_are_nothing(bytes_only: Vocabulary) -> None:
    end = 256 + len(WORDS)
    assert pieces(bytes_only, [ord("a"), end, 99_999, ord("b")]) == ["a", "", "", "b", ""]
    assert bytes_only.byte_level


def test_a_control_token_inside_a_character_does_not_tear_it(bytes_only: Vocabulary) -> None:
    first, second, third = "你".encode()
    assert pieces(bytes_only, [first, second, 256 + len(WORDS), third])[-2:] == ["你", ""]


@pytest.mark.parametrize(
    ("tokens", "stop", "text"),
    [
        ([*b"say ", 256, *b" more"], ("STOP",), "say "),
        ([*b"say ", 257, 258, *b" more"], ("STOP",), "say "),
        ([*b"say STO"], ("STOP",), "say STO"),
        ([*b"say STOqP"], ("STOP",), "say STOqP"),
        ([*b"SSTOP"], ("STOP",), "S"),
        ([*b"aaab"], ("aab",), "a"),
        ([*b"xEND!y"], ("zzz", "END", "END!"), "x"),
        ([*"x你y".encode()], ("你",), "x"),
        ([*b"STOP"], ("STOP",), ""),
        ([*b"one two"], ("two", "one"), ""),
    ],
)
def test_stop_strings(bytes_only: Vocabulary, tokens: list[int], stop: tuple[str, ...], text: str) -> None:
    assert "".join(pieces(bytes_only, tokens, stop)) == text


def test_only_what_may_become_a_stop_string_is_held_back(bytes_only: Vocabulary) -> None:
    assert pieces(bytes_only, list(b"abSTc"), ("STOP",)) == ["a", "b", "", "", "STc", ""]
    assert pieces(bytes_only, list(b"abST"), ("STOP",)) == ["a", "b", "", "", "ST"]


def test_flush_may_complete_a_stop_string(bytes_only: Vocabulary) -> None:
    detokenizer = Detokenizer(bytes_only, ("a\ufffd",))
    assert [detokenizer.push(x) for x in b"xa\xf0"] == ["x", "", ""]
    assert detokenizer.flush() == "" and detokenizer.done


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    text=st.text(alphabet="abSTOP你🙂", max_size=25),
    stops=st.lists(st.text(alphabet="abSTOP你", min_size=1, max_size=4), max_size=3),
)
def test_a_stream_is_the_text_before_its_first_stop_string(
    bytes_only: Vocabulary, text: str, stops: list[str]
) -> None:
    """The first one to be complete ends the answer, as it does for whoever generates token by token."""
    shown = pieces(bytes_only, list(text.encode()), tuple(stops))
    expected = text
    for end in range(1, len(text) + 1):
        found = [text[:end].find(s) for s in stops if s in text[:end]]
        if found:
            expected = text[: min(found)]
            break
    assert "".join(shown) == expected


def sentencepiece_like(folder: Path) -> Vocabulary:
    """A tokenizer without byte-level tokens: Llama 2's kind, with ``▁`` for spaces and byte fallback."""
    tokens = ["<unk>", "▁he", "llo", "▁wor", "ld", "<0xE4>", "<0xBD>", "<0xA0>", "!", "▁"]
    spec = {
        "version": "1.0",
        "added_tokens": [],
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "vocab": {t: i for i, t in enumerate(tokens)},
            "merges": [],
            "byte_fallback": True,
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    return Vocabulary(folder)


def test_a_tokenizer_of_another_kind(tmp_path: Path) -> None:
    vocabulary = sentencepiece_like(tmp_path)
    assert not vocabulary.byte_level
    ids = [1, 2, 3, 4, 5, 6, 7, 8, 3, 4]
    shown = pieces(vocabulary, ids)
    assert "".join(shown) == vocabulary.decode(ids) == "hello world你! world"
    assert all("\ufffd" not in s for s in shown)
    assert shown[4:7] == ["", "", "你"]
    assert "".join(pieces(vocabulary, [1, 2, 5, 6])).startswith("hello")
    assert "".join(pieces(vocabulary, ids, ("o w",))) == "hell"


def test_what_single_tokens_are_called(bytes_only: Vocabulary, tmp_path: Path) -> None:
    assert [bytes_only.literal_bytes(i) for i in (0xE4, 256, 256 + len(WORDS), 99_999)] == [
        b"\xe4",
        b"STOP",
        b"<|end|>",
        b"",
    ]
    other = sentencepiece_like(tmp_path)
    assert [other.literal_bytes(i) for i in (1, 2, 5, 9)] == [b" he", b"llo", b"\xe4", b" "]


def test_the_byte_alphabet_is_a_bijection() -> None:
    assert len(set(byte_alphabet())) == 256
