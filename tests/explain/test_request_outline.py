"""Outlines of requests: digests that show which part differs, and no text."""

from __future__ import annotations

from dataclasses import replace

from kvproxy.core import Role, TextRequest, Tool
from kvproxy.explain.request_outline import (
    MOST_MESSAGES,
    RequestOutline,
    changed_place,
    outline_of,
    roles_changed,
)
from tests.documents.conversation import LOOKUP, NOW, Content, chat

KEY = b"k"
PLAIN = chat(("system", "Be kind."), ("user", "Why?"))


def outline(*messages: tuple[Role, Content], tools: tuple[Tool, ...] = ()) -> RequestOutline:
    return outline_of(replace(chat(*messages), tools=tools), KEY)


def test_the_place_of_a_difference() -> None:
    base = outline_of(PLAIN, KEY)
    assert changed_place(base, base) is None
    assert changed_place(base, outline(("system", "Be rude."), ("user", "Why?"))) == 0
    assert changed_place(base, outline(("system", "Be kind."), ("user", "Why not?"))) == 1
    assert changed_place(base, outline(("system", "Be kind."))) == 1
    assert changed_place(base, outline(("system", "Be kind."), ("user", "Why?"), tools=(NOW,))) == "tools"
    thinking = replace(PLAIN, template_kwargs={"enable_thinking": False})
    assert changed_place(base, outline_of(thinking, KEY)) == "template"
    assert outline_of(TextRequest("m", "text"), KEY) == RequestOutline()


def test_tools_have_one_order() -> None:
    one = outline(tools=(LOOKUP, NOW))
    assert one == outline(tools=(NOW, LOOKUP)) and one != outline(tools=(LOOKUP,)) != outline()


def test_a_text_in_another_role() -> None:
    as_system, as_user = outline(("system", "Be kind.")), outline(("user", "Be kind."))
    assert roles_changed(as_system, as_user)
    assert not roles_changed(as_system, outline(("system", "Be rude.")))
    swapped = outline(("user", "Why?"), ("user", "Be kind."))
    assert roles_changed(outline(("user", "Be kind."), ("user", "Why?")), swapped)


def test_another_key_makes_other_digests_and_long_conversations_are_cut() -> None:
    assert outline_of(PLAIN, b"other").messages != outline_of(PLAIN, KEY).messages
    long = outline(*[("user", str(n)) for n in range(MOST_MESSAGES + 5)])
    assert len(long.messages) == MOST_MESSAGES and b"Be kind" not in repr(outline_of(PLAIN, KEY)).encode()
