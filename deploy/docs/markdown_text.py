"""Markdown of the generated pages: filled paragraphs, cells of tables."""

from __future__ import annotations

import inspect
import textwrap

WIDTH = 120
"""Characters of a line of prose."""


def fill(text: str) -> str:
    """Return one paragraph in lines of at most ``WIDTH`` characters, cut at spaces alone."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def wrapped(text: str) -> str:
    """Return a text with its paragraphs filled; lists, tables and code keep their lines."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    kept = ("- ", "    ", "|", "```")
    return "\n\n".join(p if p.startswith(kept) else fill(" ".join(p.split())) for p in paragraphs)


def cell(text: str) -> str:
    """Return a text as one cell of a table: in one line, its bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")
