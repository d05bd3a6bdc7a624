"""Rules of a Lark grammar for a whole answer that is not JSON alone. Pure.

``answer_grammar`` writes JSON answers itself: it shares that code with the arguments of calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kvproxy.core.answer_format import ChoiceFormat, GrammarFormat, RegexFormat, TagsFormat
from kvproxy.errors import InvalidRequest, UnsupportedSchema
from kvproxy.wire.answer_formats.gbnf import GbnfFault
from kvproxy.wire.answer_formats.gbnf_lark import gbnf_rules
from kvproxy.wire.schemas.ecma_patterns import UnknownPattern, fully_matched
from kvproxy.wire.schemas.intersections import MOST_AT_ONCE

NAME = "answer"
"""The name of the rule, or of the grammar, that an answer has to follow."""


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Lark rules of an answer; ``expression`` stands for the answer in another rule."""

    expression: str
    rules: tuple[str, ...] = ()
    side_grammar: str | None = None
    """A grammar beside the main one, with names of its own; ``@answer`` in the expression."""


Json = Callable[[Mapping[str, Any], str], str]
"""Returns the Lark expression that a JSON schema admits; the string names the schema's field."""


def answer_rules(
    wanted: RegexFormat | ChoiceFormat | GrammarFormat | TagsFormat, in_json: Json
) -> AnswerRules:
    """Write the rules of one answer format.

    Raises InvalidRequest for a text that is no grammar, UnsupportedSchema for a format that cannot be enforced.
    """
    match wanted:
        case RegexFormat(pattern, param):
            return AnswerRules("ANSWER", (f"ANSWER: {_regex(pattern, param)}",))
        case ChoiceFormat(choices, _):
            return AnswerRules("ANSWER", ("ANSWER: " + " | ".join(map(_literal, choices)),))
        case GrammarFormat(text, "gbnf", param):
            try:
                return AnswerRules(NAME, tuple(gbnf_rules(text, NAME)))
            except GbnfFault as e:
                raise InvalidRequest(f"Invalid '{param}': {e}.", param=param) from e
            except RecursionError as e:
                raise InvalidRequest(f"Invalid '{param}': it is nested too deeply.", param=param) from e
        case GrammarFormat(text, _, param):
            return AnswerRules(f"@{NAME}", side_grammar=_checked_lark(text, param))
        case TagsFormat():
            return _tags(wanted, in_json)


def _regex(pattern: str, param: str) -> str:
    try:
        return f"/{fully_matched(pattern)}/"
    except UnknownPattern as e:
        raise UnsupportedSchema(f"Invalid '{param}': {e} cannot be enforced.", param=param) from e


def _checked_lark(text: str, param: str) -> str:
    """Refuse a grammar that would slow other requests: each expression to match at once doubles the library's time.

    Raises UnsupportedSchema.
    """
    if "%json" in text:
        raise UnsupportedSchema(
            f"Invalid '{param}': '%json' inside of a grammar is not supported. Use a JSON schema alone.",
            param=param,
        )
    if text.count("&") + text.count("~") > MOST_AT_ONCE:
        raise UnsupportedSchema(
            f"Invalid '{param}': more than {MOST_AT_ONCE} intersections and negations cannot be enforced.",
            param=param,
        )
    return text


def _tags(wanted: TagsFormat, in_json: Json) -> AnswerRules:
    """Write ``(text trigger rest-of-a-structure)* text``, where no text holds a trigger."""
    triggers = list(dict.fromkeys(wanted.triggers))
    free = "/(?s:.*)/ & ~(/(?s:.*)/ (" + " | ".join(map(_literal, triggers)) + ") /(?s:.*)/)"
    rules, parts = [f"FREE: {free}"], []
    for i, trigger in enumerate(triggers):
        bodies = []
        for at, one in enumerate(wanted.structures):
            if one.begin.startswith(trigger):
                body = in_json(one.schema, f"{wanted.param}.structures[{at}].schema")
                bodies.append(f"{_literal(one.begin[len(trigger) :])} {body} {_literal(one.end)}")
        # Lazy: the text ends with the first trigger in it.
        rules.append(f"before{i}[lazy]: /(?s:.*)/ {_literal(trigger)}")
        parts.append(f"before{i} ({' | '.join(bodies)})")
    return AnswerRules(f"({' | '.join(parts)})* FREE", tuple(rules))


def _literal(text: str) -> str:
    """Quote a text for Lark: as JSON, with an escape for line separators and for U+007F and the C1 controls."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub("[\x7f-\x9f\u2028\u2029]", lambda c: f"\\u{ord(c[0]):04x}", quoted)
