"""Parser of GBNF, llama.cpp's grammar format (SGLang and xgrammar call it EBNF), into a tree. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_REPEATED = 2000
MOST_DEPTH = 200

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_COUNTS = re.compile(r"\{\s*([0-9]{1,9})\s*(,?)\s*([0-9]{0,9})\s*\}")
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "[": "[", "]": "]", "-": "-", "^": "^"}


class GbnfError(ValueError):
    """A syntax error in a grammar's text, with its line."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, matched as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class CharSet:
    """Ranges of characters, or all others. No ranges and ``negated``: any character."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class RuleName:
    """A reference to a rule by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """A node between ``least`` and ``most`` times; no ``most``: without an upper limit."""

    item: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class GbnfSequence:
    """Nodes one after another; without items, the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Alternatives, of which one matches."""

    branches: tuple[Node, ...]


Node = Literal | CharSet | RuleName | Repeat | GbnfSequence | Choice


def parse_gbnf(text: str) -> dict[str, Node]:
    """Parse a grammar into its rules by name; ``root`` is among them. Raises GbnfError."""
    return _Parser(text).rules()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._used: dict[str, None] = {}

    def rules(self) -> dict[str, Node]:
        rules: dict[str, Node] = {}
        self._skip(lines=True)
        while self._at < len(self._text):
            name = self._name()
            self._skip()
            if not self._takes("::="):
                raise self._error("expected ::=")
            self._skip(lines=True)
            if name in rules:
                raise self._error(f"the rule '{name[:64]}' is defined twice")
            rules[name] = self._choice(nested=False)
            self._skip(lines=True)
        if "root" not in rules:
            raise GbnfError("it has no rule 'root'")
        for name in self._used:
            if name not in rules:
                raise GbnfError(f"the rule '{name[:64]}' is not defined")
        return rules

    def _choice(self, *, nested: bool) -> Node:
        branches = [self._sequence(nested=nested)]
        while self._takes("|"):
            self._skip(lines=True)
            branches.append(self._sequence(nested=nested))
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self, *, nested: bool) -> Node:
        items: list[Node] = []
        while (c := self._peek()) and c not in "|)\r\n":
            if not nested and _NAME.match(c) and self._begins_rule():
                break
            item = self._item(c)
            self._skip(lines=nested)
            while self._peek() and self._peek() in "*+?{":
                item = self._repeated(item)
                self._skip(lines=nested)
            items.append(item)
        return items[0] if len(items) == 1 else GbnfSequence(tuple(items))

    def _item(self, c: str) -> Node:
        if c == '"':
            self._at += 1
            return Literal(self._until('"'))
        if c == "[":
            return self._set()
        if c == ".":
            self._at += 1
            return CharSet((), negated=True)
        if c == "(":
            return self._group()
        if _NAME.match(c):
            name = self._name()
            self._used[name] = None
            return RuleName(name)
        if c == "<":
            raise self._error("tokens of a model are not supported, only text is")
        raise self._error(f"{c!r} is not allowed here")

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise self._error("groups are nested too deeply")
        self._at += 1
        self._skip(lines=True)
        inner = self._choice(nested=True)
        if not self._takes(")"):
            raise self._error("expected )")
        self._depth -= 1
        return inner

    def _set(self) -> CharSet:
        self._at += 1
        negated = self._takes("^")
        ranges: list[tuple[str, str]] = []
        while self._peek() != "]":
            first = self._character()
            last = first
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                last = self._character()
            if last < first:
                raise self._error("a range ends before it begins")
            ranges.append((first, last))
        self._at += 1
        if not ranges:
            raise self._error("a set of characters is empty")
        return CharSet(tuple(ranges), negated)

    def _repeated(self, item: Node) -> Node:
        c = self._text[self._at]
        if c != "{":
            self._at += 1
            return Repeat(item, *{"*": (0, None), "+": (1, None), "?": (0, 1)}[c])
        found = _COUNTS.match(self._text, self._at)
        if found is None:
            raise self._error("expected {m}, {m,} or {m,n}")
        self._at = found.end()
        least = int(found[1])
        most = int(found[3]) if found[3] else None if found[2] else least
        if max(least, most or 0) > MOST_REPEATED or (most is not None and most < least):
            raise self._error(f"a repetition is at most {MOST_REPEATED}, with the lower number first")
        return Repeat(item, least, most)

    def _until(self, end: str) -> str:
        out: list[str] = []
        while self._peek() != end:
            out.append(self._character())
        self._at += 1
        return "".join(out)

    def _character(self) -> str:
        c = self._peek()
        if not c or c in "\r\n":
            raise self._error("a literal or a set does not end on its line")
        self._at += 1
        if c != "\\":
            return c
        if found := _HEX.match(self._text, self._at):
            self._at = found.end()
            code = int(found[1] or found[2] or found[3], 16)
            if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
                raise self._error("this is no character")
            return chr(code)
        escaped = _SIMPLE.get(self._peek())
        if escaped is None:
            raise self._error("an unknown escape")
        self._at += 1
        return escaped

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._error("expected the name of a rule")
        self._at = found.end()
        return found[0]

    def _begins_rule(self) -> bool:
        """Return whether the next rule's head begins here, on a line of its own or not."""
        found = _NAME.match(self._text, self._at)
        assert found is not None
        blank = _BLANK.match(self._text, found.end())
        return blank is not None and self._text.startswith("::=", blank.end())

    def _skip(self, *, lines: bool = False) -> None:
        found = (_BLANK_LINES if lines else _BLANK).match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _takes(self, text: str) -> bool:
        taken = self._text.startswith(text, self._at)
        self._at += len(text) if taken else 0
        return taken

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, message: str) -> GbnfError:
        return GbnfError(f"line {self._text.count(chr(10), 0, self._at) + 1}: {message}")
