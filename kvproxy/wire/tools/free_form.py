"""Free-form tools, which OpenAI calls custom: the model is offered a function with one text argument, ``input``."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field

from kvproxy.core import Tool
from kvproxy.wire.bodies.strict import Strict

INPUT = "input"


class TextGrammarBody(Strict):
    """A Lark grammar or a regular expression. The latter is enforced while sampling, where the library takes it."""

    definition: str | None = None
    syntax: str | None = Field(default=None, description="lark or regex")


class TextFormatBody(Strict):
    """The format of a free-form input. ``grammar`` is chat's form; in responses its fields stand here."""

    type: str = "text"
    grammar: TextGrammarBody | None = None
    definition: str | None = None
    syntax: str | None = Field(default=None, description="lark or regex")

    @property
    def whole(self) -> TextGrammarBody:
        """Return the grammar, from either form."""
        return self.grammar or TextGrammarBody(definition=self.definition, syntax=self.syntax)


def free_form(name: str, description: str | None, format: TextFormatBody | None) -> Tool:
    """Return the function that stands for a custom tool.

    A regular expression is enforced on the whole input; a Lark grammar is shown to the model instead, since inside of a
    call the input is a JSON string and a grammar of the text is no grammar of its escaped form.

    Example: ``free_form("python", "Runs code.", None).parameters``.
    """
    grammar = format.whole if format is not None and format.type == "grammar" else TextGrammarBody()
    schema: dict[str, Any] = {"type": "string"}
    if grammar.definition and grammar.syntax == "regex":
        schema["pattern"] = f"^(?:{grammar.definition})$"
    texts = [description] if description else []
    if grammar.definition:
        texts.append(
            f"`{INPUT}` must match this {_SYNTAX.get(grammar.syntax or '', 'grammar')}:\n{grammar.definition}"
        )
    parameters = {
        "type": "object",
        "properties": {INPUT: schema},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return Tool(name, "\n\n".join(texts) or None, parameters, strict=True, assumed=True, form="custom")


_SYNTAX = {"lark": "Lark grammar", "regex": "regular expression"}


def arguments_of(input: str) -> str:
    """Return the call's arguments as the model wrote them."""
    return json.dumps({INPUT: input}, ensure_ascii=False)


def input_of(arguments: str) -> str:
    """Return the text of a whole call; the arguments as they are where they are no object with one text."""
    reader = InputReader()
    return reader.push(arguments) + reader.end()


class InputReader:
    """Takes the text out of ``{"input": "…"}`` while it is written. Any split of it gives the same text.

    Arguments that begin otherwise are withheld to the end, and come out as the only text in them, or verbatim.
    """

    def __init__(self) -> None:
        self._raw = ""
        self._read = 0
        """Characters of ``_raw`` that were given out or are layout."""
        self._state: Literal["before", "inside", "behind", "other"] = "before"

    def push(self, arguments: str) -> str:
        """Return the text that these characters of the arguments add; empty before and behind the text."""
        self._raw += arguments
        if self._state == "before":
            self._begin()
        return self._inside() if self._state == "inside" else ""

    def end(self) -> str:
        """Return the text that was withheld."""
        if self._state in ("before", "other"):
            return _only_text(self._raw)
        return ""

    def _begin(self) -> None:
        head = _HEAD.match(self._raw)
        if head is not None:
            self._read, self._state = head.end(), "inside"
        elif len(self._raw) > _MOST_HEAD:
            self._state = "other"

    def _inside(self) -> str:
        read: list[str] = []
        while (piece := _PIECE.match(self._raw, self._read)) is not None:
            read.append(_decoded(piece[0]))
            self._read = piece.end()
        if self._raw.startswith('"', self._read):
            self._state = "behind"
        self._raw, self._read = self._raw[self._read :], 0
        return "".join(read)


_MOST_HEAD = 64
_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_PIECE = re.compile(
    r'[^"\\]+'
    r'|\\["\\/bfnrt]'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # one character in two halves
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u(?=[0-9a-fA-F]{2})(?![dD][c-fC-F]))"
    r'|\\[^"\\/bfnrtu]|\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])'  # no JSON: as it stands
)


def _decoded(piece: str) -> str:
    if piece[0] != "\\":
        return piece
    try:
        text = str(json.loads(f'"{piece}"'))
    except ValueError:
        return piece
    return _encodable(text)


def _encodable(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _only_text(arguments: str) -> str:
    try:
        value = json.loads(arguments, strict=False)
    except (ValueError, RecursionError):
        return arguments
    if isinstance(value, str):
        return _encodable(value)
    texts = list(value.values()) if isinstance(value, dict) else []
    if isinstance(value, dict) and isinstance(value.get(INPUT), str):
        return _encodable(value[INPUT])
    return _encodable(texts[0]) if len(texts) == 1 and isinstance(texts[0], str) else arguments
