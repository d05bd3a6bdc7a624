"""The pages of the documentation, and the code that stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>[\s\S]*?)^(?P=indent)(?P=fence)\s*$",
    re.MULTILINE,
)
_INDENTED = re.compile(r"(?:^\n)(?P<text>(?:^(?: {4}|\t).*\n)+)", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`(?P<text>[^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A piece of code of a page. ``language``: the fence's word, ``indented`` or ``inline``; ``title``: the fence's."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    @property
    def where(self) -> str:
        """The page and line, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def name_of(page: Path) -> str:
    """Return a page's path from the root, as a test's id."""
    return str(page.relative_to(ROOT))


def fenced(page: Path) -> Iterator[Snippet]:
    """Yield the fenced blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        language, _, rest = match["info"].strip().partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        width = len(match["indent"])
        body = "".join(
            line[width:] if line[:width].isspace() else line for line in match["text"].splitlines(True)
        )
        yield Snippet(page, _line(text, match.start()) + 1, language, title[1] if title else "", body)


def snippets(page: Path) -> Iterator[Snippet]:
    """Yield every piece of code of a page: fenced, indented, and inline."""
    yield from fenced(page)
    text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), page.read_text(encoding="utf-8"))
    for match in _INDENTED.finditer(text):
        body = "".join(line[4:] for line in match["text"].splitlines(True))
        yield Snippet(page, _line(text, match.start()) + 1, "indented", "", body)
    for match in _INLINE.finditer(text):
        yield Snippet(page, _line(text, match.start()), "inline", "", match["text"])


def logical_lines(text: str) -> Iterator[str]:
    """Yield a shell's lines, those that end in a backslash joined, without prompts."""
    for line in text.replace("\\\n", " ").splitlines():
        yield line.strip().removeprefix("$ ")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
