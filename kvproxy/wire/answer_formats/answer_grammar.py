"""The text of the grammar that an answer must match: llguidance's Lark with JSON schemas in it. Pure.

Inside JSON the separators are those of ``json.dumps`` and no other white space is admitted: where it is free, small
models write nothing else. Properties come in the schema's own order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.core import HERMES, Constraint, GrammarText, LeftOut, Tool
from kvproxy.core.answer_format import AnswerFormat, JsonFormat
from kvproxy.errors import InvalidRequest, UnsupportedSchema
from kvproxy.wire.answer_formats.answer_rules import NAME, answer_rules
from kvproxy.wire.schemas.blamed_keyword import blamed_keyword, explain_rejection
from kvproxy.wire.schemas.control_characters import controls_allowed
from kvproxy.wire.schemas.json_schema import enforceable_schema, no_arguments
from kvproxy.wire.schemas.relaxing import culprit, relax_schema

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
NO_OBJECT: Mapping[str, Any] = {"type": "object", "additionalProperties": False}

_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
_ESCAPES = 'nrbtf\\"'

Check = Callable[[str], str | None]
"""Returns None where the library compiles the text of a grammar, or its message."""


@dataclass(frozen=True, slots=True)
class CallFormat:
    """The text around one tool call of a model family. ``begin`` and ``end`` are marks that may be single tokens."""

    begin: str
    before_name: str
    before_arguments: str
    after_arguments: str
    end: str
    between: str | None
    """The text between two calls; None: an answer holds one call only."""


CALL_FORMATS: Mapping[str, CallFormat] = {
    HERMES: CallFormat("<tool_call>", '\n{"name": ', ', "arguments": ', "}\n", "</tool_call>", "\n"),
    "llama3_json": CallFormat("", '{"name": ', ', "parameters": ', "}", "", None),
}
"""The generating side of ``tool_formats/known_formats.py``, by the same names."""


def grammar_of(
    constraint: Constraint, special: Collection[str] = (), check: Check = lambda grammar: None
) -> GrammarText:
    """Return the grammar of everything the answer may be, from its first token to its end.

    ``special``: the marks that are single tokens of the model; others are matched as text. ``check`` compiles each
    schema alone. Raises UnsupportedSchema naming the keyword, and InvalidRequest for a tool format in which calls
    cannot be forced.

    Example: ``grammar_of(Constraint(format=JsonFormat()), {"<think>"}).text``.
    """
    return _GrammarWriter(constraint, frozenset(special), check).written()


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """Return the grammar of one schema alone. ``schema`` has been rewritten by ``enforceable_schema``."""
    return f"start: {_json(schema)}\n"


class _GrammarWriter:
    def __init__(self, constraint: Constraint, special: frozenset[str], check: Check) -> None:
        self._constraint = constraint
        self._special = special
        self._check = check
        names = constraint.choice.names
        none = constraint.choice.mode == "none"
        self._tools = [
            (i, tool)
            for i, tool in enumerate(constraint.tools)
            if not none and (not names or tool.name in names)
        ]
        self._forced = bool(self._tools) and constraint.choice.mode == "required"
        self._rules: list[str] = []
        self._left_out: dict[LeftOut, None] = {}
        self._side: str | None = None

    def written(self) -> GrammarText:
        text = self._text()
        if self._side is not None:
            grammars = [{"lark_grammar": text}, {"name": NAME, "lark_grammar": self._side}]
            text = json.dumps({"grammars": grammars}, ensure_ascii=False)
        return GrammarText(text, tuple(self._left_out))

    def _text(self) -> str:
        body = self._body()
        match self._constraint.reasoning:
            case "open":
                start = f"{self._until('thought', '</think>')} GAP {body}"
            case "may":
                start = f"(thinking GAP)? {body}"
                mark = self._mark("<think>")
                self._rules.append(f"thinking: {mark} {self._until('thought', '</think>')}")
            case "none":
                start = body
        if self._constraint.reasoning != "none":
            self._rules.append(r"GAP: /\n{0,2}/")
        return "\n".join([f"start: {start}", *self._rules]) + "\n"

    def _body(self) -> str:
        wanted = self._constraint.format
        if not self._tools:
            return self._answer(wanted) if wanted is not None else self._prose()
        if self._forced:
            return self._calls()
        if wanted is not None:
            return f"({self._answer(wanted)} | {self._calls()})"
        return self._prose_and_calls()

    def _answer(self, wanted: AnswerFormat) -> str:
        if not isinstance(wanted, JsonFormat):
            found = answer_rules(wanted, lambda schema, param: _json(self._strict(schema, param)))
            self._rules += found.rules
            self._side = found.side_grammar
            return found.expression
        if wanted.schema is None:
            return _json(ANY_OBJECT)
        if wanted.strict:
            return _json(self._strict(wanted.schema, wanted.param))
        return _json(self._relaxed(wanted.schema, where=wanted.param, param=wanted.param))

    def _strict(self, schema: Mapping[str, Any], param: str) -> Mapping[str, Any]:
        return self._enforced(schema, where=param, param=param)

    def _prose(self) -> str:
        self._rules.append("TEXT: /(?s:.*)/")
        return "TEXT"

    def _prose_and_calls(self) -> str:
        """Write free text without a mark of a call, alone or with calls behind it."""
        begin = self._format().begin
        if not begin:
            # Such a call is the whole answer, and text that begins like a call would be parsed as one.
            self._rules.append(r"TEXT: /(\s*[^{\s](?s:.*))?/")
            return f"(TEXT | {self._calls()})"
        self._rules.append(f"TEXT: {_without(begin)}")
        if begin in self._special:
            return f"(TEXT | {self._calls(f'TEXT {begin}')})"
        return f"(TEXT | {self._calls(self._until('before_call', begin))})"

    def _calls(self, opening: str | None = None) -> str:
        """Write one call or several; ``opening`` replaces the first call's opening mark."""
        form = self._format()
        self._rules.append("call: " + " | ".join(self._call(form, i, tool) for i, tool in self._tools))
        begin, end = self._mark(form.begin), self._mark(form.end)
        first = f"{begin if opening is None else opening} call {end}"
        if not self._constraint.parallel or form.between is None:
            return f"({first})"
        return f"({first} ({_literal(form.between)} {begin} call {end})*)"

    def _call(self, form: CallFormat, index: int, tool: Tool) -> str:
        head = form.before_name + json.dumps(tool.name, ensure_ascii=False) + form.before_arguments
        arguments = _json(self._arguments(index, tool))
        return f"{_literal(head)} {arguments} {_literal(form.after_arguments)}"

    def _arguments(self, index: int, tool: Tool) -> Mapping[str, Any]:
        """Return the schema of a tool's arguments.

        A strict tool's arguments always follow its schema; another tool's follow it as far as possible, where calls are
        forced.
        """
        if not (tool.strict or self._forced):
            return ANY_OBJECT
        if tool.parameters is None or no_arguments(tool.parameters):
            return NO_OBJECT
        param = f"tools[{index}].function.parameters"
        where = f"function '{tool.name}'"
        if tool.strict and not tool.assumed:
            typed = {**tool.parameters, "type": _object_type(tool, param)}
            return self._enforced(typed, where=where, param=param)
        return self._relaxed({**tool.parameters, "type": "object"}, where=where, param=param)

    def _relaxed(self, schema: Mapping[str, Any], *, where: str, param: str) -> Mapping[str, Any]:
        """Return as much of the schema as can be enforced, and record the rest as left out."""
        found = relax_schema(schema, where=where, param=param, check=lambda s: self._check(schema_grammar(s)))
        self._left_out |= dict.fromkeys(LeftOut(param, keyword) for keyword in found.left_out)
        return found.schema

    def _enforced(self, schema: Mapping[str, Any], *, where: str, param: str) -> Mapping[str, Any]:
        out = enforceable_schema(schema, where=where, param=param)
        reason = self._check(schema_grammar(out))
        if reason is not None:
            named = blamed_keyword(reason)
            found = named or culprit(out, lambda schema: self._check(schema_grammar(schema)))
            raise UnsupportedSchema(
                f"Invalid schema for {where}: {explain_rejection(reason, found)}.", param=param
            )
        return out

    def _format(self) -> CallFormat:
        form = CALL_FORMATS.get(self._constraint.tool_format)
        if form is None:
            raise InvalidRequest(
                "This model writes its tool calls in a way that cannot be enforced "
                f"('{self._constraint.tool_format}'): use tool_choice 'auto' or 'none', tools that are not strict, "
                "and no response_format beside tools.",
                param="tool_choice" if self._forced else "tools",
            )
        return form

    def _mark(self, mark: str) -> str:
        if not mark:
            return ""
        return mark if mark in self._special else _literal(mark)

    def _until(self, rule: str, mark: str) -> str:
        """Write free text that ends with the first ``mark``."""
        if mark in self._special:
            self._rules.append(f"{rule.upper()}: {_without(mark)}")
            return f"{rule.upper()} {mark}"
        self._rules.append(f"{rule}[lazy]: /(?s:.*)/ {_literal(mark)}")
        return rule


def _object_type(tool: Tool, param: str) -> str:
    declared = (tool.parameters or {}).get("type", "object")
    if declared != "object" and not (isinstance(declared, list) and "object" in declared):
        raise UnsupportedSchema(
            f"Invalid schema for function '{tool.name}': its 'type' must be 'object'.", param=param
        )
    return "object"


def _json(schema: Mapping[str, Any]) -> str:
    escapes = _ESCAPES + "u" if controls_allowed(schema) else _ESCAPES
    options = {**_OPTIONS, "json_allowed_escapes": escapes}
    return "%json " + json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _without(mark: str) -> str:
    """Return a terminal for valid text in which ``mark`` does not occur."""
    return f"/(?s:.*)/ & ~(/(?s:.*)/ {_literal(mark)} /(?s:.*)/)"
