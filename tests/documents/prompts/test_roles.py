from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvproxy.core import ChatRequest, Message, TextPart, ToolCall
from kvproxy.documents.library.library import Library
from kvproxy.documents.prompts.compose import Composer
from kvproxy.documents.prompts.model_format import model_format
from kvproxy.documents.prompts.roles import Roles, arrange, merge_front, shown_roles
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.escape import Escape
from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents import templates
from tests.documents.conversation import ALICE, APACHE, FRAMINGS, LOOKUP, message, publish, result
from tests.documents.models import QWEN3_ADDED, SMOLLM2_TEMPLATE

STRICT = {
    "gemma": templates.GEMMA,
    "gemma3": templates.GEMMA3,
    "mistral": templates.STRICT_MISTRAL,
    "qwen3.5": templates.QWEN35,
    "last": templates.LAST_SYSTEM,
}
CALL = ToolCall("call_a", "lookup", '{"word": "x", "limit": 1}')
S, T = message("system", "Be brief."), message("system", "Be kind.")
U, V, W = message("user", "Find x."), message("user", "And y?"), message("user", "And z?")
LATER = message("system", "Be quick.")
A, B = message("assistant", "Found."), message("assistant", "It is y.")
CALLED, RESULT = message("assistant", "", CALL), result("call_a", "x is here")


@pytest.fixture(scope="module")
def tokenizer(qwen3: Path) -> Tokenizer:
    return Tokenizer.load(qwen3)


def composer_of(tokenizer: Tokenizer, source: str) -> Composer:
    return Composer(tokenizer, ChatTemplate(source), Library(), FRAMINGS)


def roles_of(source: str) -> Roles:
    return model_format(ChatTemplate(source), {}, Escape(QWEN3_ADDED)).roles


def shown(composer: Composer, *messages: Message, tools: bool = False) -> str:
    request = ChatRequest("m", messages, tools=(LOOKUP,) if tools else ())
    return composer._tokenizer.decode(composer.compose(request, ALICE).token_ids, skip_special=False)


@pytest.mark.parametrize("source", [SMOLLM2_TEMPLATE, templates.CHATML, templates.LLAMA3, templates.MISTRAL])
def test_templates_that_take_everything(source: str) -> None:
    assert roles_of(source) == Roles()


def test_orders_that_strict_templates_take() -> None:
    turns = {"repeated_user": False, "repeated_assistant": False, "assistant_first": False}
    assert roles_of(templates.GEMMA) == Roles(system=False, several_systems=False, late_system=False, **turns)
    assert roles_of(templates.GEMMA3) == Roles(
        several_systems=False, late_system=False, lone_system=False, **turns
    )
    assert roles_of(templates.STRICT_MISTRAL) == Roles(
        several_systems=False, late_system=False, user_behind_call=False, **turns
    )
    assert roles_of(templates.QWEN35) == Roles(several_systems=False, late_system=False, lone_system=False)
    assert roles_of(templates.LAST_SYSTEM) == Roles(several_systems=False, late_system=False)


def test_a_template_that_shows_nothing_is_left_alone() -> None:
    assert roles_of("{{ messages | length }}") == Roles()


def test_an_order_that_a_template_takes_stays_unchanged() -> None:
    entries: list[dict[str, Any]] = [{"role": r, "content": r} for r in ("system", "system", "user", "user")]
    entries += [{"role": r, "content": r} for r in ("system", "assistant", "assistant", "system")]
    assert arrange(merge_front(entries, Roles()), Roles()) == entries


@pytest.mark.parametrize("source", STRICT.values(), ids=STRICT)
@pytest.mark.parametrize(
    "conversation",
    [
        (S, U),
        (S, T, U),
        (S,),
        (S, T),
        (U, S),
        (S, U, T),
        (U, S, V),
        (S, U, A, T, V),
        (S, U, A, T),
        (U, V),
        (S, U, V, A, B, W),
        (A, U),
        (S, A, U),
        (S, U, CALLED, RESULT),
        (S, U, CALLED, RESULT, T),
        (S, U, CALLED, RESULT, V),
        (S, U, CALLED, V),
        (S, T, U, CALLED, RESULT, B, LATER, V),
    ],
    ids=lambda c: "-".join(m.role[0] for m in c),
)
@pytest.mark.parametrize("tools", [False, True])
def test_every_order_is_shown_whole(
    tokenizer: Tokenizer, source: str, conversation: tuple[Message, ...], tools: bool
) -> None:
    text = shown(composer_of(tokenizer, source), *conversation, tools=tools)
    places = [
        text.find(m.content[0].text) for m in conversation if m.content and isinstance(m.content[0], TextPart)
    ]
    assert -1 not in places, text
    assert places == sorted(places), "and nothing overtakes anything"
    for call in (c for m in conversation for c in m.tool_calls):
        assert call.name in text and "x" in text


def test_several_system_messages_at_the_front_are_one(tokenizer: Tokenizer) -> None:
    text = shown(composer_of(tokenizer, templates.QWEN35), S, T, U)
    assert text.startswith(
        "<|im_start|>system\nBe brief.\nBe kind.<|im_end|>\n<|im_start|>user\nFind x.<|im_end|>"
    )


def test_no_system_role_at_all(tokenizer: Tokenizer) -> None:
    text = shown(composer_of(tokenizer, templates.GEMMA), S, T, U)
    assert text == "<|im_start|>user\nBe brief.\nBe kind.\n\nFind x.<|im_end|>\n<|im_start|>model\n"


def test_a_system_message_in_the_middle_is_marked_in_the_message_before_it(tokenizer: Tokenizer) -> None:
    composer = composer_of(tokenizer, templates.QWEN35)
    text = shown(composer, S, U, T, A, V)
    assert "user\nFind x.\n\n<system>\nBe kind.\n</system><|im_end|>\n<|im_start|>assistant\nFound." in text
    text = shown(composer, S, U, CALLED, RESULT, T, tools=True)
    assert "x is here\n\n<system>\nBe kind.\n</system>\n</tool_response>" in text


def test_a_system_message_behind_an_answer_begins_the_next_user_message(tokenizer: Tokenizer) -> None:
    text = shown(composer_of(tokenizer, templates.QWEN35), S, U, A, T, V)
    assert "Found.<|im_end|>\n<|im_start|>user\n<system>\nBe kind.\n</system>\n\nAnd y?<|im_end|>" in text


def test_an_interrupted_call_where_turns_are_strict(tokenizer: Tokenizer) -> None:
    composer = composer_of(tokenizer, templates.STRICT_MISTRAL)
    assert "[no answer]<|im_end|>[INST]And y?[/INST]" in shown(composer, U, CALLED, V, tools=True)
    assert "[/TOOL_RESULTS][no answer]" in shown(composer, U, CALLED, RESULT, V, tools=True)


@pytest.mark.parametrize("source", STRICT.values(), ids=STRICT)
@pytest.mark.parametrize("before", [(), (S,), (S, T)])
def test_a_document_at_the_head_keeps_its_framing(
    tokenizer: Tokenizer, source: str, before: tuple[Message, ...]
) -> None:
    composer = composer_of(tokenizer, source)
    publish(composer, "d", APACHE)
    document = message("system", APACHE + "\nRead it.")
    prompt = composer.compose(ChatRequest("m", (document, *before, U)), ALICE)
    (span,) = prompt.documents
    assert span.scope == "public"
    assert "END OF TERMS AND CONDITIONS" in tokenizer.decode(prompt.token_ids[span.start : span.end])


@pytest.mark.parametrize("source", STRICT.values(), ids=STRICT)
def test_a_document_in_a_system_message_in_the_middle_is_known(tokenizer: Tokenizer, source: str) -> None:
    composer = composer_of(tokenizer, source)
    publish(composer, "d", APACHE)
    late = message("system", APACHE)
    for conversation in [(S, U, late), (S, U, A, late, V), (S, U, CALLED, RESULT, late)]:
        prompt = composer.compose(ChatRequest("m", conversation, tools=(LOOKUP,)), ALICE)
        (span,) = prompt.documents
        assert "END OF TERMS AND CONDITIONS" in tokenizer.decode(prompt.token_ids[span.start : span.end])


@pytest.mark.parametrize("source", STRICT.values(), ids=STRICT)
@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([("system",), ("user",), ("assistant",), ("call", "tool"), ("call",)]), max_size=7
    )
)
def test_any_order_renders(source: str, turns: list[tuple[str, ...]]) -> None:
    found = model_format(ChatTemplate(source), {}, Escape(QWEN3_ADDED))
    function = {"name": "f", "arguments": {"a": "b"}}
    entries: list[dict[str, Any]] = []
    for n, kind in enumerate(kind for turn in turns for kind in turn):
        if kind == "call" and not found.native_tools:
            kind = "assistant"
        elif kind == "tool" and not found.native_tools:
            kind = "user"
        if kind == "call":
            calls = [{"id": "000000001", "type": "function", "function": function}]
            entries.append({"role": "assistant", "content": f"zq{n}z", "tool_calls": calls})
        elif kind == "tool":
            entries.append({"role": kind, "content": f"zq{n}z", "tool_call_id": "000000001", "name": "f"})
        else:
            entries.append({"role": kind, "content": f"zq{n}z"})
    done = arrange(merge_front(entries, found.roles), found.roles)
    if not done:
        return
    text = ChatTemplate(source).render(done, {})
    said = [e["content"] for e in entries if "tool_calls" not in e or not found.native_tools]
    assert [text.find(c) for c in said] == sorted(text.find(c) for c in said if c in text)


def test_where_a_message_is_shown() -> None:
    conversation = (S, T, U, T, A, T, V, CALLED, RESULT, T)
    roles = Roles(late_system=False)
    assert shown_roles(conversation, Roles()) == [m.role for m in conversation]
    assert shown_roles(conversation, roles)[3:] == [
        "user", "assistant", "user", "user", "assistant", "tool", "tool",
    ]  # fmt: skip
    assert shown_roles((S, U), Roles(system=False)) == ["user", "user"]
