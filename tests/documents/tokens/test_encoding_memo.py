from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kvproxy.core import Caller, ChatRequest
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.tokens.encoding_memo import TextMemo
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents.conversation import ALICE, APACHE, BOB, LOOKUP, build, message


class Counting(Tokenizer):
    """Counts the characters it encodes."""

    encoded = 0

    def encode_text(self, text: str) -> list[int]:
        self.encoded += len(text)
        return super().encode_text(text)


def test_texts_are_found_again_by_scope_and_stops() -> None:
    memo, calls = TextMemo(), []

    def encode() -> tuple[Sequence[int], Sequence[int]]:
        calls.append(1)
        return [1, 2, 70_000], [2]

    text = "x" * memo.SHORTEST
    first = memo.encoded("a", text, (5,), encode)
    assert list(first.token_ids) == [1, 2, 70_000] and first.decided == (2,)
    assert memo.encoded("a", text, (5,), encode) is first and len(calls) == 1
    memo.encoded("b", text, (5,), encode)
    memo.encoded("a", text, (), encode)
    memo.encoded("a", text + "y", (5,), encode)
    assert len(calls) == 4 == len(memo)


def test_the_memo_is_bounded() -> None:
    memo = TextMemo()
    for length in (memo.SHORTEST - 1, memo.LONGEST + 1):
        memo.encoded("a", "x" * length, (), lambda: ([1], []))
    assert len(memo) == 0
    for i in range(60):
        memo.encoded("a", f"{i} ".ljust(memo.LONGEST), (), lambda: ([1], []))
    each = memo.LONGEST + memo.OVERHEAD
    assert len(memo) == memo.CHARACTERS // each
    assert memo.characters == len(memo) * each
    assert list(memo.encoded("a", "59 ".ljust(memo.LONGEST), (), lambda: ([2], [])).token_ids) == [1]
    assert list(memo.encoded("a", "0 ".ljust(memo.LONGEST), (), lambda: ([2], [])).token_ids) == [2]
    assert memo.characters == len(memo) * each


def test_text_that_a_caller_sends_again_is_not_encoded_again(qwen3: Path) -> None:
    tokenizer = Counting.load(qwen3)
    composer: Composer = build(qwen3, tokenizer)

    def encoded(question: str, caller: Caller) -> int:
        tokenizer.encoded = 0
        messages = (message("system", APACHE), message("user", question))
        composer.compose(ChatRequest("m", messages, tools=(LOOKUP,)), caller)
        return tokenizer.encoded

    assert encoded("Q", ALICE) > len(APACHE)
    assert encoded("Why?", ALICE) < 50
    assert encoded("Q", BOB) > len(APACHE), "another tenant's time does not tell"
