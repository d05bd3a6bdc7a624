"""Every link between pages leads to a file and a heading that are there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from deploy.docs.anchors import anchor
from deploy.docs.checkout_links import checkout_links

from .pages import PAGES, ROOT, fenced, name_of

_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|[`*]")
LINKING = sorted(
    {*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "examples/README.md"))}
)


@cache
def anchors(page: Path) -> frozenset[str]:
    text = page.read_text(encoding="utf-8")
    for snippet in fenced(page):
        text = text.replace(snippet.text, "")
    found: dict[str, int] = {}
    names = set()
    for heading in _HEADING.findall(text):
        name = anchor(_MARKUP.sub(r"\1", heading))
        count = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{count}" if count else name)
    return frozenset(names)


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for link in checkout_links(page.read_text(encoding="utf-8"), name_of(page)):
        target = ROOT / link.path
        if not target.exists():
            broken.append(link.path)
        elif link.fragment and target.suffix == ".md" and link.fragment not in anchors(target):
            broken.append(f"{link.path}#{link.fragment}")
    assert broken == []


def test_every_page_can_be_reached() -> None:
    """From the index, by links: a page that nothing links to is found by nobody."""
    waiting, seen = ["docs/index.md"], {"docs/index.md"}
    while waiting:
        page = waiting.pop()
        for link in checkout_links((ROOT / page).read_text(encoding="utf-8"), page):
            if link.path.endswith(".md") and link.path not in seen and (ROOT / link.path).exists():
                seen.add(link.path)
                waiting.append(link.path)
    assert {name_of(page) for page in PAGES} - seen == set()


def test_links_are_found_and_code_is_none() -> None:
    text = (
        "[a](b.md#c) `[x](gone.md)`\n\n```\n[y](gone.md)\n```\n[d](https://x.org) ![p](paper.svg) [e](#here)"
    )
    found = [(link.path, link.fragment) for link in checkout_links(text, "docs/x.md")]
    assert found == [("docs/b.md", "c"), ("docs/paper.svg", ""), ("docs/x.md", "here")]
    assert next(checkout_links("[r](../deploy/fleet)", "docs/x.md")).path == "deploy/fleet/README.md"
    with pytest.raises(ValueError, match="outside of the checkout"):
        list(checkout_links("[r](../../x)", "docs/x.md"))


@pytest.mark.parametrize(
    ("heading", "fragment"),
    [
        ("What to start a replica with", "what-to-start-a-replica-with"),
        ("POST /kv/v1/documents/{document}/pin", "post-kvv1documentsdocumentpin"),
        ("kill -9 and power cuts", "kill--9-and-power-cuts"),
    ],
)
def test_fragments_are_those_of_github(heading: str, fragment: str) -> None:
    assert anchor(heading) == fragment
