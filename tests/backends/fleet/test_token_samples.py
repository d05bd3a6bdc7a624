from __future__ import annotations

import pytest

from kvproxy.backends.fleet.token_samples import CONVERSATIONS, TEXTS, TokenSample, first_difference
from kvproxy.documents.prompts.template import ChatTemplate
from tests.backends.fleet.conftest import ModelTexts


@pytest.mark.parametrize("sample", TEXTS, ids=lambda s: s.name)
def test_a_text_is_asked_for_without_control_tokens(sample: TokenSample, texts: ModelTexts) -> None:
    body = sample.body("m")
    assert body["add_special_tokens"] is False and body["model"] == "m"
    assert sample.tokens(texts.tokenizer, texts.template) == texts.tokenizer.encode_text(body["prompt"])


def test_a_conversation_has_the_tokens_of_its_template(texts: ModelTexts) -> None:
    ids = CONVERSATIONS[0].tokens(texts.tokenizer, texts.template)
    assert ids is not None
    # Recorded from vLLM 0.32: the beginning and the end of this model's conversations.
    assert ids[:4] == [1, 9690, 198, 2683] and ids[-4:] == [1, 520, 9531, 198]


def test_a_template_that_refuses_a_conversation_has_no_tokens(texts: ModelTexts) -> None:
    refusing = ChatTemplate("{{ raise_exception('no') }}")
    assert CONVERSATIONS[0].tokens(texts.tokenizer, refusing) is None


@pytest.mark.parametrize(
    ("own", "other", "at"), [([1], [1], None), ([1, 2], [1, 3], 1), ([1, 2], [1], 1), ([], [4], 0)]
)
def test_the_first_difference_is_found(own: list[int], other: list[int], at: int | None) -> None:
    assert first_difference(own, other) == at
