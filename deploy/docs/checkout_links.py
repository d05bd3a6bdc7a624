"""Links of Markdown pages within the checkout: where each leads, and what of it is outside of docs/."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"(?P<before>!?\[(?:[^\]\[]|\[[^\]]*\])*\]\()(?P<target>[^)\s]+)(?P<after>\))")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)[\s\S]*?^ {0,3}\1|`[^`\n]*`", re.MULTILINE)
_OTHER_HOST = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page to a file or folder of the checkout, to a folder's README where it has one.

    ``path`` is relative to the root; ``fragment`` may be empty.
    """

    start: int
    end: int
    path: str
    fragment: str


def checkout_links(text: str, page: str) -> Iterator[Link]:
    """Yield the links of a page's text to the checkout itself; those in code are none. ``page`` is its path.

    Raises ValueError for a link that leaves the checkout. Example: ``list(checkout_links("[a](b.md#c)", "docs/x.md"))``
    """
    code = [match.span() for match in _FENCE.finditer(text)]
    for match in _LINK.finditer(text):
        start = match.start("target")
        if _OTHER_HOST.match(match["target"]) or any(a <= start < b for a, b in code):
            continue
        path, _, fragment = match["target"].partition("#")
        joined = os.path.normpath(PurePosixPath(page).parent / path) if path else page
        if joined.startswith(".."):
            raise ValueError(f"{page} links to {match['target']}, outside of the checkout")
        if (ROOT / joined / "README.md").is_file():
            joined = f"{joined}/README.md"
        yield Link(start, match.end("target"), joined, fragment)
