"""`ModelFormat`: the abilities of a model's chat template, found once by rendering probes, never by the model's
name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvproxy.core import HERMES
from kvproxy.documents.prompts.roles import Roles, roles_taken
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.escape import Escape
from kvproxy.errors import InvalidRequest

_ASK, _ABOUT, _TOOL, _VALUE, _RESULT = "zq_ask", "zq_about", "zq_tool", "zq_value", "zq_result"
_THOUGHT, _SAID, _SYSTEM = "zq_thought", "zq_said", "zq_system"
_CONTENT = 'Ab "q" \\ \' <x> {{ y }}\n\tz é\n\nend'
_ARGUMENTS = {"zq_argument": _VALUE}
_ARGUMENTS_TEXT = f'{{"zq_argument": "{_VALUE}"}}'
_SCHEMA = {
    "type": "object",
    "properties": {"zq_argument": {"type": "string", "description": "An argument."}},
    "required": ["zq_argument"],
}
_TOOLS = [{"type": "function", "function": {"name": _TOOL, "description": _ABOUT, "parameters": _SCHEMA}}]
_USER = {"role": "user", "content": _ASK}

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """One template's abilities. Where it cannot write tools, ``history.py`` does."""

    native_tools: bool
    """True when it renders tools, calls and results itself, in a call format that is known here."""
    tool_format: str
    """The format in which the model is taught to write a call."""
    arguments_as_text: bool
    """True when a call's arguments may be text, which stands unchanged in the prompt; else they must be an object."""
    one_call: bool
    """True when it refuses an answer with several calls, so that they become several answers."""
    reasoning_content: bool
    """True when it takes the reasoning of an earlier answer apart from its text."""
    thinks: bool
    """True when it has think blocks."""
    default_system: str | None
    """The text that it puts in place of a missing system message."""
    copied: frozenset[str]
    """Roles with content that it copies unchanged, so that a placeholder may stand in it."""
    roles: Roles
    """The orders of messages that it takes."""


def model_format(template: ChatTemplate, names: Mapping[str, Any], escape: Escape) -> ModelFormat:
    """Probe a template. Pure. ``names``: the tokenizer's special tokens, by the names that templates use.

    Example:
        ``format = model_format(template, tokenizer.special_tokens, escape)``
    """
    probe = _Probe(template, names)
    tool_format = _tool_format(probe)
    native = tool_format is not None
    text_called = probe.render(_called(_ARGUMENTS_TEXT), tools=_TOOLS)
    thought = probe.render([_USER, {"role": "assistant", "content": _SAID, "reasoning_content": _THOUGHT}])
    return ModelFormat(
        native_tools=native,
        tool_format=tool_format or HERMES,
        arguments_as_text=_ARGUMENTS_TEXT in text_called,
        one_call=native and not probe.render(_called(_ARGUMENTS, calls=2), tools=_TOOLS),
        reasoning_content=_THOUGHT in thought,
        thinks=_THOUGHT in thought or _strips_thoughts(probe) or _switches_thinking(probe),
        default_system=_default_system(probe),
        copied=frozenset(r for r in ("system", "user", "tool") if _copies(probe, r, escape, native)),
        roles=_roles(probe, native, _ARGUMENTS_TEXT if _ARGUMENTS_TEXT in text_called else _ARGUMENTS),
    )


class _Probe:
    def __init__(self, template: ChatTemplate, names: Mapping[str, Any]) -> None:
        self._template = template
        self._names = names

    def render(self, messages: Messages, *, tools: Messages = (), **variables: Any) -> str:
        """Render messages; empty when the template refuses them."""
        try:
            return self._template.render(messages, {**self._names, **variables}, tools=tools)
        except InvalidRequest:
            return ""


def _called(arguments: object, result: str = _RESULT, calls: int = 1) -> list[dict[str, Any]]:
    function = {"name": _TOOL, "arguments": arguments}
    # Nine digits: Mistral's templates insist on that.
    ids = [f"{number:09d}" for number in range(1, calls + 1)]
    asked = [{"id": id, "type": "function", "function": function} for id in ids]
    results = [{"role": "tool", "content": result, "tool_call_id": id, "name": _TOOL} for id in ids]
    return [_USER, {"role": "assistant", "content": "", "tool_calls": asked}, *results]


def _tool_format(probe: _Probe) -> str | None:
    """Return the tool format; None when the template lacks one of tools, calls and results, or writes calls in an
    unknown format."""
    rendered = probe.render(_called(_ARGUMENTS), tools=_TOOLS)
    call = rendered.partition(_ASK)[2].partition(_RESULT)[0]
    if not (_ABOUT in rendered and _VALUE in call and _RESULT in rendered):
        return None
    if f"<function={_TOOL}" in call:
        return "qwen3_coder"
    if "[TOOL_CALLS]" in call:
        return "mistral"
    if "<tool_call>" in call:
        return HERMES if '"arguments"' in call else None
    return "llama3_json" if '"parameters"' in call else None


def _strips_thoughts(probe: _Probe) -> bool:
    said = f"<think>\n{_THOUGHT}\n</think>\n\n{_SAID}"
    rendered = probe.render([_USER, {"role": "assistant", "content": said}, _USER])
    return _SAID in rendered and _THOUGHT not in rendered


def _switches_thinking(probe: _Probe) -> bool:
    on, off = (probe.render([_USER], enable_thinking=on) for on in (True, False))
    return on != off and "think>" in on + off


def _roles(probe: _Probe, native: bool, arguments: object) -> Roles:
    def render(messages: Messages) -> str:
        return probe.render(messages, tools=_TOOLS if any("tool_calls" in m for m in messages) else ())

    return roles_taken(render, _called(arguments)[1:] if native else ())


def _default_system(probe: _Probe) -> str | None:
    before, _, after = probe.render([{"role": "system", "content": _SYSTEM}, _USER]).partition(_SYSTEM)
    bare = probe.render([_USER])
    if not before or not (bare.startswith(before) and bare.endswith(after)):
        return None
    return bare[len(before) : len(bare) - len(after)] or None


def _copies(probe: _Probe, role: str, escape: Escape, native: bool) -> bool:
    """Return whether a role's content is copied. A tool's result becomes part of a user message where the template
    has no tools."""
    if role == "tool" and not native:
        return _copies(probe, "user", escape, native)

    def render(content: str, tools: Messages) -> str:
        if role == "tool":
            return probe.render(_called(_ARGUMENTS, content), tools=tools)
        message = {"role": role, "content": content}
        return probe.render([message, _USER] if role == "system" else [message], tools=tools)

    slot, text = escape.slot(0), escape.text(_CONTENT)
    for tools in [(), _TOOLS] if native else [()]:
        given = render(slot, tools)
        if slot not in given or given.replace(slot, text) != render(text, tools):
            return False
    return True
