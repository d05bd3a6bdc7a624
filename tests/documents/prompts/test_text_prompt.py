from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.core import Prompt, TextRequest
from kvproxy.documents.library.document import Framing
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import InvalidRequest
from tests.documents.conversation import ALICE, APACHE, BOB, REF, publish

CLEAN = APACHE.strip()
FRAMINGS = (Framing("system"), Framing("text"))


@pytest.fixture(scope="module")
def composer(folder: Path, tokenizer: Tokenizer) -> Composer:
    composer = Composer(tokenizer, ChatTemplate.load(folder), Library(), FRAMINGS)
    publish(composer, "apache", "\n" + CLEAN)
    return composer


def with_bos(folder: Path, tmp_path: Path) -> Tokenizer:
    """The same tokenizer with a post-processor that puts a token in front, as Llama's."""
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    bos = spec["added_tokens"][0]
    piece = {"SpecialToken": {"id": bos["content"], "type_id": 0}}
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [piece, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [piece, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            bos["content"]: {"id": bos["content"], "ids": [bos["id"]], "tokens": [bos["content"]]}
        },
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    return Tokenizer.load(tmp_path)


def composed(composer: Composer, prompt: str | tuple[int, ...]) -> Prompt:
    return composer.compose(TextRequest("m", prompt), BOB)


def test_text_is_taken_as_it_is(composer: Composer, tokenizer: Tokenizer) -> None:
    prompt = composed(composer, "Once upon <|im_end|> a time")
    assert list(prompt.token_ids) == tokenizer.encode_text("Once upon <|im_end|> a time")
    assert not set(prompt.token_ids) & set(tokenizer.control.values())
    assert (prompt.documents, prompt.marks, prompt.reasoning) == ((), (), "none")


@pytest.mark.parametrize("tail", ["", "\n\nQ: What?\nA:", "s", "\u0301"])
@pytest.mark.parametrize("leading", ["\n", " \t", ""])
def test_a_known_document_is_found_at_the_front(
    composer: Composer, tokenizer: Tokenizer, leading: str, tail: str
) -> None:
    text = leading + CLEAN + tail
    prompt = composed(composer, text)
    assert list(prompt.token_ids) == tokenizer.encode_text(text)
    (span,) = prompt.documents
    assert span.document == REF
    assert span.scope == ("public" if leading == "\n" else None), "as it was published"
    assert span.end - span.start > 0.95 * len(tokenizer.encode_text(CLEAN))


def test_the_framing_of_text(composer: Composer) -> None:
    known = composer.library.resolve(REF, ALICE)
    assert [p.framing for p in known.prefixes] == ["system", "text"]
    prompt = composed(composer, "\n" + CLEAN + "Q")
    assert prompt.documents[0].end == len(known.prefixes[1].token_ids)


def test_a_bos_token_stands_in_front(folder: Path, tmp_path: Path) -> None:
    tokenizer = with_bos(folder, tmp_path)
    assert len(tokenizer.begin) == 1
    composer = Composer(tokenizer, ChatTemplate.load(folder), Library(), FRAMINGS)
    publish(composer, "apache", CLEAN)
    assert composed(composer, "Hi").token_ids == (*tokenizer.begin, *tokenizer.encode_text("Hi"))
    prompt = composed(composer, CLEAN + "Q")
    assert prompt.token_ids == (*tokenizer.begin, *tokenizer.encode_text(CLEAN + "Q"))
    (span,) = prompt.documents
    assert (span.start, span.scope) == (1, "public")
    assert composer.encode_prompt("Hi", add_special_tokens=True)[0] == tokenizer.begin[0]
    assert composer.encode_prompt("Hi", add_special_tokens=False) == tokenizer.encode_text("Hi")
    assert composed(composer, "").token_ids == tokenizer.begin


def test_token_ids_are_taken_as_they_are(composer: Composer, tokenizer: Tokenizer) -> None:
    control = tokenizer.control["<|im_start|>"]
    assert composed(composer, (control, 5, 6)) == Prompt((control, 5, 6))
    for wrong in (-1, tokenizer.size):
        with pytest.raises(InvalidRequest, match=f"Invalid token id {wrong} at 1") as caught:
            composed(composer, (5, wrong))
        assert caught.value.param == "prompt"


@pytest.mark.parametrize("prompt", ["", ()])
def test_a_prompt_needs_a_token(composer: Composer, prompt: str | tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequest, match="at least one token") as caught:
        composed(composer, prompt)
    assert caught.value.param == "prompt"


def test_half_a_surrogate_pair(composer: Composer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        composed(composer, "a\ud800")
    assert caught.value.param == "prompt"


def test_tokens_and_their_texts(composer: Composer, tokenizer: Tokenizer) -> None:
    ids = composer.encode_prompt("Hello <|im_end|> there", add_special_tokens=True)
    assert composer.decode(ids) == "Hello <|im_end|> there"
    assert "".join(composer.token_texts(ids)) == "Hello <|im_end|> there"
    control = tokenizer.control["<|im_end|>"]
    assert composer.token_texts([control]) == ["<|im_end|>"] and composer.decode([control]) == "<|im_end|>"
    for ask in (composer.decode, composer.token_texts):
        with pytest.raises(InvalidRequest) as caught:
            ask([tokenizer.size])
        assert caught.value.param == "tokens"
