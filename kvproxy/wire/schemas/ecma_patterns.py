"""JSON schema's patterns (ECMA-262) translated to those of the grammar library (Rust's ``regex``). Pure.

The two read the same text differently: sets inside of sets, ``&&`` and ``--``, ``.``, and which characters are white
space, digits or letters. Where validators themselves differ (``\\s`` and ``\\W`` in JavaScript, Python and Rust), the
translation admits only the characters that all of them take.
"""

from __future__ import annotations

import re

_SPACE = r"\t\n\x0b\x0c\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_ANY_SPACE = _SPACE + r"\x1c-\x1f\x{85}\x{feff}"
_WORD = r"0-9A-Za-z_"
_ANY_WORD = r"\p{L}\p{M}\p{N}\p{Pc}"
_SETS = {"s": (_SPACE, _ANY_SPACE), "d": ("0-9", r"\p{Nd}"), "w": (_WORD, _ANY_WORD)}
"""By escape: the characters that every reader of patterns counts in, and those that any of them does."""

_CONTROL = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_QUANTIFIER = re.compile(r"\{[0-9]+(,[0-9]*)?\}")
_PROPERTY = re.compile(r"[pP]\{[A-Za-z_]+(=[A-Za-z_]+)?\}")
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|c([A-Za-z])")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]*[sxmuUR][a-zA-Z-]*[:)]")
_META = frozenset("\\.+*?()|[]{}^$#&-~/")


class UnknownPattern(ValueError):
    """The pattern differs between the two languages, or is no pattern."""


def translated(pattern: str) -> str:
    """Translate a pattern for the library, still unanchored. Raises UnknownPattern."""
    return _PatternReader(pattern).text()


def fully_matched(pattern: str) -> str:
    """Translate a pattern for a place where it is matched as a whole already: without its anchors.

    Raises UnknownPattern.
    """
    out = _PatternReader(pattern)
    text = out.text()
    branches = [text[a:b] for a, b in out.branches(text)]
    return "|".join(_bare(branch) for branch in branches)


class _PatternReader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._out: list[str] = []
        self._bars: list[int] = []

    def text(self) -> str:
        if _FLAGS.search(self._pattern):
            raise UnknownPattern("flags")
        self._out, self._at, depth = [], 0, 0
        self._bars = []
        while self._at < len(self._pattern):
            c = self._pattern[self._at]
            if c == "(":
                depth += 1
            elif c == ")":
                depth -= 1
            elif c == "|" and depth == 0:
                self._bars.append(len(self._out))
            self._out.append(self._piece(c))
        return "".join(self._out)

    def branches(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of the whole pattern's alternatives in its translation."""
        ends = [0]
        for piece in self._out:
            ends.append(ends[-1] + len(piece))
        starts = [0, *(ends[bar] + 1 for bar in self._bars)]
        return list(zip(starts, [*(ends[bar] for bar in self._bars), len(text)], strict=True))

    def _piece(self, c: str) -> str:
        if c == "\\":
            return self._escape()
        if c == "[":
            return self._set()
        if c == "{":
            return self._brace()
        if c == "(" and (
            group := re.match(r"\(\?(P?<[A-Za-z_][A-Za-z0-9_]*>|[^a-zA-Z]|[a-zA-Z-]+[:)])", self._rest())
        ):
            self._at += len(group[0])
            return group[0]
        self._at += 1
        if c == ".":
            return r"[^\n\r\x{2028}\x{2029}]"
        if c == "+" and self._out and self._out[-1][-1:] in ("+", "*", "?", "}") and self._quantified():
            raise UnknownPattern("possessive quantifiers")
        if c in "]}":
            return "\\" + c
        if c in "|()^$*+?":
            return c
        return _literal(ord(c))

    def _quantified(self) -> bool:
        """Return whether the last piece is a quantifier, and no literal character."""
        return not self._out[-1].startswith(("\\", "[", "("))

    def _brace(self) -> str:
        found = _QUANTIFIER.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
            return found[0]
        if self._pattern.startswith("{,", self._at):
            raise UnknownPattern("{,n}")
        self._at += 1
        return r"\{"

    def _escape(self) -> str:
        code = self._code()
        if isinstance(code, int):
            return _literal(code)
        if code in "bB" or code.isdigit() or code == "k":
            return "\\" + code  # The library refuses it with a reason.
        return _set_of(code, negated=False)

    def _set(self) -> str:
        self._at += 1
        negated = self._rest().startswith("^")
        self._at += negated
        if self._rest().startswith("]"):
            raise UnknownPattern("an empty set")
        items: list[str] = []
        while not self._rest().startswith("]"):
            first = self._item()
            if isinstance(first, int) and re.match(r"-[^\]]", self._rest(), re.DOTALL):
                behind, self._at = self._at, self._at + 1
                last = self._item()
                if isinstance(last, int):
                    if last < first:
                        raise UnknownPattern("a range that ends before it begins")
                    items.append(f"{_literal(first)}-{_literal(last)}")
                    continue
                self._at = behind
            items.append(_literal(first) if isinstance(first, int) else _set_of(first, negated=negated))
        self._at += 1
        return f"[{'^' if negated else ''}{''.join(items)}]"

    def _item(self) -> int | str:
        if not self._rest():
            raise UnknownPattern("a set that does not end")
        if self._rest()[0] == "\\":
            code = self._code()
            if code == "b":
                return 8
            if isinstance(code, str) and (code.isdigit() or code in "Bk"):
                raise UnknownPattern(f"\\{code} in a set")
            return code
        self._at += 1
        return ord(self._pattern[self._at - 1])

    def _code(self) -> int | str:
        """Read an escape: a character, or the letters of a set or an assertion. Raises UnknownPattern."""
        self._at += 1
        if found := _PROPERTY.match(self._pattern, self._at):
            self._at = found.end()
            return found[0]
        if found := _HEX.match(self._pattern, self._at):
            self._at = found.end()
            return self._coded(found)
        c = self._rest()[:1]
        self._at += 1
        if c in _CONTROL and c and not (c == "0" and self._rest()[:1].isdigit()):
            return _CONTROL[c]
        if c and (c in "sSdDwWbBk" or c in "123456789"):
            return c
        if not c or c.isalnum():
            raise UnknownPattern(f"\\{c}")
        return ord(c)

    def _coded(self, found: re.Match[str]) -> int:
        if found[4]:
            return ord(found[4]) % 32
        code = int(found[1] or found[2] or found[3], 16)
        if 0xD800 <= code < 0xDC00 and (low := re.match(r"\\u([dD][c-fC-F][0-9a-fA-F]{2})", self._rest())):
            self._at += len(low[0])
            return 0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00
        if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise UnknownPattern("half of a surrogate pair")
        return code

    def _rest(self) -> str:
        # A slice is enough for every match below, and bounds the cost for long patterns.
        return self._pattern[self._at : self._at + 64]


def _set_of(code: str, *, negated: bool) -> str:
    """Return the set of an escape. ``negated``: whether it stands in a negated set."""
    if code[0] in "pP":
        return f"[\\{code}]"
    all_count, any_counts = _SETS[code.lower()]
    if code.islower():
        return f"[{any_counts if negated else all_count}]"
    return f"[^{all_count if negated else any_counts}]"


def _literal(code: int) -> str:
    if 0xD800 <= code < 0xE000:
        raise UnknownPattern("half of a surrogate pair")
    c = chr(code)
    if c in _META:
        return "\\" + c
    return c if c.isalnum() or (c.isascii() and c.isprintable()) else f"\\x{{{code:x}}}"


def _bare(branch: str) -> str:
    branch = branch.removeprefix("^")
    cut = branch[:-1]
    escaped = (len(cut) - len(cut.rstrip("\\"))) % 2 == 1
    return cut if branch.endswith("$") and not escaped else branch
