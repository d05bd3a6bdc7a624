"""`Roles`: the orders of roles that a chat template takes, found by rendering probes, and conversations brought into
one.

An order that a template takes stays unchanged. A later message never moves to the front: the next turn's prompt must
begin with this turn's tokens. So where system messages cannot stand in the middle, they become part of the message
before them, or of the next user message.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import Message, Role

JOINT = "\n"
"""The text between system messages that become one, as between the parts of one message."""
BREAK = "\n\n"
"""The text between messages of different meaning that become one."""
LATE = "<system>\n{}\n</system>"
"""The form of a system message that stands in a user's or a tool's message."""
CUT = "[the conversation's beginning is not shown]"
"""The user's words where a template wants the user first, and a client has cut the history."""
SILENCE = "[no answer]"
"""The assistant's words where a template wants an answer between a tool's result and the user."""

ONWARD = "[go on]"
"""The user's words where a template wants the user between an answer and its calls' continuation."""

TemplateMessage = dict[str, Any]
"""A message as templates take it."""
Render = Callable[[Sequence[Mapping[str, Any]]], str]
"""A function that renders messages as a template does; its text is empty when the template refuses them."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The orders that one template takes. The defaults are of a template that takes everything."""

    system: bool = True
    """True when it shows a system message at the front."""
    several_systems: bool = True
    """True when it shows several system messages at the front."""
    late_system: bool = True
    """True when it shows a system message behind other messages."""
    lone_system: bool = True
    """True when it needs no user message."""
    repeated_user: bool = True
    repeated_assistant: bool = True
    """True when two assistant messages may follow each other."""
    assistant_first: bool = True
    user_behind_call: bool = True
    """True when a user message may stand right behind a call or its result. Where not, calls and results are no
    turns."""


def roles_taken(render: Render, call: Sequence[TemplateMessage]) -> Roles:
    """Probe a template. ``call``: an assistant's call and its result in the template's own form, none where it has no
    tools.

    A message that is silently dropped counts as not taken.
    """
    s, t, u, v, a, b = (
        {"role": role, "content": f"zq_{role}_{n}"}
        for role, n in [
            ("system", 1),
            ("system", 2),
            ("user", 1),
            ("user", 2),
            ("assistant", 1),
            ("assistant", 2),
        ]
    )

    def takes(*messages: Mapping[str, Any]) -> bool:
        rendered = render(messages)
        return all(m["content"] in rendered for m in messages) and bool(rendered)

    if not takes(u, a, v):
        return Roles()  # Nothing can be learned from such a template.
    system = takes(s, u)
    return Roles(
        system=system,
        several_systems=system and takes(s, t, u),
        late_system=takes(s, u, t) and takes(u, t) and takes(u, a, t, v) and takes(s, u, a, t),
        lone_system=takes(s) or not system,
        repeated_user=takes(u, v),
        repeated_assistant=takes(u, a, b, v),
        assistant_first=takes(a, u),
        user_behind_call=not call or (takes(u, *call, v) and takes(u, *call[:1], v)),
    )


def shown_roles(messages: Sequence[Message], roles: Roles) -> list[Role]:
    """Return, for each message, the role of the message that its content ends up in: see ``arrange``."""
    shown: list[Role] = []
    front = True
    for message in messages:
        role = message.role
        if role == "system" and not (roles.system if front else roles.late_system):
            role = shown[-1] if shown and shown[-1] in ("user", "tool") else "user"
        front = front and message.role == "system"
        shown.append(role)
    return shown


def merge_front(entries: Sequence[TemplateMessage], roles: Roles) -> list[TemplateMessage]:
    """Merge the system messages at the front into one, where the template takes no more."""
    front = next((i for i, entry in enumerate(entries) if entry["role"] != "system"), len(entries))
    if front < 2 or roles.several_systems:
        return list(entries)
    merged = {"role": "system", "content": JOINT.join(entry["content"] for entry in entries[:front])}
    return [merged, *entries[front:]]


def arrange(entries: Sequence[TemplateMessage], roles: Roles) -> list[TemplateMessage]:
    """Arrange messages in an order that the template takes. ``entries``: the result of ``merge_front``."""
    done: list[TemplateMessage] = []
    front = True
    continued = False  # The last entry is a system text that the next user message continues.
    for entry in entries:
        system = entry["role"] == "system"
        if system and (roles.system if front else roles.late_system):
            done.append(entry)
            continued = False
        elif system:
            text = entry["content"] if front else LATE.format(entry["content"])
            continued = _fold(done, text, roles, continued=continued)
        else:
            _add(done, entry, roles, continued=continued)
            continued = False
        front = front and system
    if not roles.lone_system and all(entry["role"] != "user" for entry in done):
        done.append({"role": "user", "content": ""})
    return [_settled(entry) for entry in done]


def _fold(done: list[TemplateMessage], text: str, roles: Roles, *, continued: bool) -> bool:
    """Put a system text into ``done`` (modified). Returns whether the next user message continues it."""
    if done and done[-1]["role"] in ("user", "tool"):
        done[-1] = _joined(done[-1], text)
        return continued
    _add(done, {"role": "user", "content": text}, roles, continued=False)
    return True


def _add(done: list[TemplateMessage], entry: TemplateMessage, roles: Roles, *, continued: bool) -> None:
    """Add a message that is no system message to ``done`` (modified)."""
    role = entry["role"]
    last = done[-1] if done and done[-1]["role"] != "system" else None
    if last is None:
        done += [] if role == "user" or roles.assistant_first else [{"role": "user", "content": CUT}]
    elif role == last["role"] == "user" and (continued or not roles.repeated_user):
        done[-1] = _joined(last, entry["content"])
        return
    elif _turn(last) == role == "assistant" and _merges(entry, roles):
        done[-1] = _one_answer(last, entry)
        return
    elif (
        not roles.user_behind_call
        and _turn(entry)
        and role == next(filter(None, map(_turn, reversed(done))), "")
    ):
        between = ("assistant", SILENCE) if role == "user" else ("user", ONWARD)
        done.append({"role": between[0], "content": between[1]})
    done.append(entry)


def _merges(entry: TemplateMessage, roles: Roles) -> bool:
    """Return whether an answer must become part of the answer before it. One with calls need not where they are no
    turn, and such templates may not show the text beside calls."""
    return not roles.repeated_assistant and (roles.user_behind_call or bool(_turn(entry)))


def _turn(entry: TemplateMessage) -> str:
    """Return the role that takes the turn with a message; empty for calls and results where they are no turn."""
    return entry["role"] if entry["role"] in ("user", "assistant") and "tool_calls" not in entry else ""


def _joined(entry: TemplateMessage, text: str) -> TemplateMessage:
    """Return ``entry`` with one more text. Texts are a list until ``_settled`` joins them, so that joining many
    costs no more."""
    return {**entry, "content": _longer(entry["content"], text)}


def _one_answer(first: TemplateMessage, second: TemplateMessage) -> TemplateMessage:
    merged = {**first, **second, "content": _longer(first["content"], second["content"])}
    if "reasoning_content" in first:
        merged["reasoning_content"] = _longer(
            first["reasoning_content"], second.get("reasoning_content") or ""
        )
    return merged


def _longer(texts: str | list[str], text: str) -> list[str]:
    """Append to a list in place; its previous owner has passed it on."""
    if isinstance(texts, str):
        return [texts, text]
    texts.append(text)
    return texts


def _settled(entry: TemplateMessage) -> TemplateMessage:
    """Return ``entry`` with its texts joined. An answer's empty text is left out; other entries begin with their
    first text."""
    lists = {name: texts for name, texts in entry.items() if isinstance(texts, list) and name != "tool_calls"}
    if not lists:
        return entry
    joined = {name: BREAK.join(_said(texts, entry["role"])) for name, texts in lists.items()}
    return {
        name: value for name, value in {**entry, **joined}.items() if name != "reasoning_content" or value
    }


def _said(texts: Sequence[str], role: str) -> Iterator[str]:
    if role == "assistant":
        return filter(None, texts)
    return itertools.dropwhile(lambda text: not text, texts)
