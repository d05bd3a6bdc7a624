"""Translator from GBNF to Lark, the grammar library's language. Pure.

A grammar that does not refer to itself is one regular expression. In one that does, every character is a lexeme of its
own: the library's lexemes are as long as they can be, and ``[0-9]+ ws`` would eat the line end that a rule behind it
needs. That makes masks of some ms where an expression's take tenths of one.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvproxy.wire.answer_formats.gbnf import (
    CharSet,
    Choice,
    GbnfFault,
    GbnfSequence,
    Literal,
    Node,
    Repeat,
    RuleName,
    parse_gbnf,
)

MOST_CHARACTERS = 200_000
"""Limit of a grammar written out as one expression: rules that name others twice would double with each."""

_META = frozenset('\\.+*?()|[]{}^$#&-~/"')


def gbnf_rules(text: str, start: str) -> list[str]:
    """Return Lark rules, the first of which is ``start``, a rule's name in lower case. Raises GbnfFault."""
    return _LarkWriter(parse_gbnf(text)).rules(start)


class _LarkWriter:
    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self._names = {name: f"g{i}" for i, name in enumerate(rules)}
        self._regex: dict[str, str] = {}
        self._looping = _looping(rules)

    def rules(self, start: str) -> list[str]:
        if "root" not in self._looping:
            return [f"{start}: /{self._expression(RuleName('root'))}/"]
        out = [f"{start}: {self._names['root']}"]
        return out + [f"{self._names[name]}: {self._body(node)}" for name, node in self._rules.items()]

    def _body(self, node: Node) -> str:
        """Write a node in Lark."""
        match node:
            case Literal(text):
                return " ".join(f"/{_character(c)}/" for c in text) or '""'
            case CharSet():
                return f"/{self._expression(node)}/"
            case RuleName(name):
                return self._names[name]
            case Repeat(item, least, most):
                return f"({self._body(item)}){_times(least, most)}"
            case GbnfSequence(items):
                return " ".join(self._body(item) for item in items) or '""'
            case Choice(branches):
                return "(" + " | ".join(self._body(branch) for branch in branches) + ")"

    def _expression(self, node: Node) -> str:
        """Write a node as a regular expression."""
        match node:
            case Literal(text):
                return "".join(_character(c) for c in text)
            case CharSet((), _):
                return r"[\x00-\x{10ffff}]"
            case CharSet(ranges, negated):
                inner = "".join(
                    _character(a) if a == b else f"{_character(a)}-{_character(b)}" for a, b in ranges
                )
                return f"[{'^' if negated else ''}{inner}]"
            case RuleName(name):
                if name not in self._regex:
                    self._regex[name] = f"(?:{self._expression(self._rules[name])})"
                    if len(self._regex[name]) > MOST_CHARACTERS:
                        raise GbnfFault(f"it has more than {MOST_CHARACTERS} characters written out")
                return self._regex[name]
            case Repeat(item, least, most):
                return f"(?:{self._expression(item)}){_times(least, most)}"
            case GbnfSequence(items):
                return "".join(self._expression(item) for item in items)
            case Choice(branches):
                return "(?:" + "|".join(self._expression(branch) for branch in branches) + ")"


def _looping(rules: Mapping[str, Node]) -> set[str]:
    """Return the rules from which a cycle of rules can be reached."""
    named = {name: set(_named(node)) for name, node in rules.items()}
    safe: set[str] = set()
    grew = True
    while grew:
        fresh = {name for name in named.keys() - safe if named[name] <= safe}
        safe |= fresh
        grew = bool(fresh)
    return named.keys() - safe


def _named(node: Node) -> list[str]:
    found: list[str] = []
    open_nodes = [node]
    while open_nodes:
        match open_nodes.pop():
            case RuleName(name):
                found.append(name)
            case Repeat(item, _, _):
                open_nodes.append(item)
            case GbnfSequence(items) | Choice(items):
                open_nodes += items
            case _:
                pass
    return found


def _times(least: int, most: int | None) -> str:
    match least, most:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
    return f"{{{least},{'' if most is None else most}}}"


def _character(c: str) -> str:
    if c in _META:
        return f"\\x{{{ord(c):x}}}"
    return c if c.isalnum() or (c.isascii() and c.isprintable()) else f"\\x{{{ord(c):x}}}"
