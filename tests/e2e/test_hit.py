"""The second reader of a document skips its prefill and gets the very same answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kvproxy.core import PAGE_TOKENS
from tests.e2e.conftest import Fresh
from tests.e2e.reader import MODEL, Answer, Reader
from tests.e2e.texts import document, in_system, in_user

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

Layout = Callable[[str, str], list[dict[str, Any]]]

LAYOUTS: dict[str, Layout] = {"system": in_system, "user": in_user}
QUESTIONS = (
    "What is this text about?",
    "Who may copy it? Answer in one word.",
    "Überrasche mich: 鍵は何ですか。🗝️",
)
SAMPLED: dict[str, Any] = {"temperature": 0.9, "top_p": 0.9, "seed": 7}
CHARACTERS = 1_700
"""More than a page of tokens."""


def said(answer: Answer) -> tuple[str, str, int, int]:
    """What must not depend on where the KV came from."""
    return answer.text, answer.finish_reason, answer.usage.prompt_tokens, answer.usage.completion_tokens


@pytest.mark.parametrize("framing", LAYOUTS)
def test_a_warm_answer_is_the_cold_one(fresh: Fresh, publisher: Reader, framing: str) -> None:
    layout, text, id = LAYOUTS[framing], document(f"hit {framing}", CHARACTERS), f"hit-{framing}"
    asked: list[tuple[str, dict[str, Any]]] = [*((q, {}) for q in QUESTIONS), (QUESTIONS[0], SAMPLED)]
    cold = {}
    for question, fields in asked:
        cold[question, str(fields)] = answer = fresh().ask(layout(text, question), **fields)
        assert (answer.outcome, answer.key, answer.detail) == ("fwd=miss", None, "no-document")
        assert answer.cached < 40, "only what the template puts before any document may be shared"
    info = publisher.publish(id, text)["info"]
    kept = {f["name"]: f["tokens"] for f in info["framings"]}
    # Its last tokens may merge with what follows; they are the reader's own.
    assert info["tokens"] - 5 <= kept["system"] <= info["tokens"] + 3 and info["tokens"] > PAGE_TOKENS
    for i, (question, fields) in enumerate(asked):
        warm = fresh().ask(layout(text, question), stream=i % 2 == 0, **fields)
        assert said(warm) == said(cold[question, str(fields)])
        assert (warm.outcome, warm.key) == ("hit", f"{id}@1")
        # A tenant who never asked before takes exactly what was published, to the token.
        assert warm.cached == kept[framing]
        assert warm.detail == f"tokens={warm.cached},exact"
    assert len({a.text for a in cold.values()}) == len(asked), "equal answers would tell nothing"


def test_a_reference_stands_for_the_text(fresh: Fresh, publisher: Reader) -> None:
    text = document("reference", CHARACTERS)
    publisher.publish("reference", text)
    question = {"type": "text", "text": "What is forbidden here?"}
    names: list[dict[str, Any]] = [
        {"type": "text", "text": text},
        {"type": "kv_document", "document": "reference"},
        {"type": "kv_document", "document": "reference@1"},
    ]
    for messages in (
        [[{"role": "user", "content": [part, question]}] for part in names],
        [[{"role": "system", "content": [p]}, {"role": "user", "content": [question]}] for p in names],
    ):
        answers = [fresh().ask(m) for m in messages]
        assert {said(a) for a in answers} == {said(answers[0])}
        assert {(a.outcome, a.key, a.cached) for a in answers} == {("hit", "reference@1", answers[0].cached)}
        assert answers[0].cached > PAGE_TOKENS


def test_a_newer_version_does_not_answer_for_the_older(fresh: Fresh, publisher: Reader) -> None:
    old, new = document("versions", 1_500), document("versions", 1_500) + "\nNothing is allowed any more."
    assert publisher.publish("versions", old)["info"]["version"] == 1
    info = publisher.publish("versions", new)["info"]
    assert (info["version"], info["current"]) == (2, True)
    question = {"type": "text", "text": "What is allowed?"}

    def ask(part: dict[str, Any]) -> Answer:
        return fresh().ask([{"role": "user", "content": [part, question]}])

    by_name = ask({"type": "kv_document", "document": "versions"})
    by_text = ask({"type": "text", "text": new})
    older = ask({"type": "kv_document", "document": "versions@1"})
    assert by_name.key == by_text.key == "versions@2" and said(by_name) == said(by_text)
    assert (older.outcome, older.key) == ("hit", "versions@1")
    assert older.usage.prompt_tokens < by_name.usage.prompt_tokens


def test_the_chunks_of_a_stream(fresh: Fresh, publisher: Reader) -> None:
    text = document("chunks", 1_500)
    publisher.publish("chunks", text)
    whole = fresh().ask(in_system(text, "What is free?"))
    streamed = fresh().ask(in_system(text, "What is free?"), stream=True)
    assert said(streamed) == said(whole)
    assert streamed.usage == whole.usage and streamed.outcome == whole.outcome == "hit"
    role, *middle, finish, usage = streamed.chunks
    assert (role.choices[0].delta.role, role.choices[0].delta.content) == ("assistant", "")
    assert len(middle) > 1 and all(c.choices[0].delta.content for c in middle)
    assert all(c.choices[0].finish_reason is None and c.usage is None for c in (role, *middle))
    assert finish.choices[0].finish_reason == "length" and finish.choices[0].delta.content is None
    assert usage.choices == [] and usage.usage is not None
    assert usage.usage.completion_tokens == 12
    assert {(c.id, c.created, c.model) for c in streamed.chunks} == {(role.id, role.created, MODEL)}


def test_usage_in_a_stream_is_sent_to_those_who_ask(fresh: Fresh) -> None:
    chunks = list(
        fresh().client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_tokens=3, stream=True
        )
    )
    assert all(c.choices and c.usage is None for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_conversation_goes_on_from_its_own_pages(fresh: Fresh) -> None:
    """No document at all: a tenant's next turn starts with its last one."""
    tenant, stranger = fresh(), fresh()
    turn = [{"role": "user", "content": "Name three animals. " + "They live in a garden. " * 60}]
    first = tenant.ask(turn)
    turn += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "And which flies?"}]
    second, alone = tenant.ask(turn), stranger.ask(turn)
    assert (second.outcome, second.key) == ("hit", None)
    assert second.cached >= first.usage.prompt_tokens - 5
    assert alone.cached < 40
    assert said(second) == said(alone)


def test_stop_words_end_an_answer(fresh: Fresh) -> None:
    messages = [{"role": "user", "content": "Count: one, two, three, four, five, six"}]
    full = fresh().ask(messages, max_tokens=24)
    word = full.text.split()[2]
    stopped = fresh().ask(messages, max_tokens=24, stop=[word])
    assert stopped.finish_reason == "stop"
    assert stopped.text == full.text[: full.text.index(word)]
