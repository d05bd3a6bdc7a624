"""The site builds without a warning, needs no other host, and has every page in its navigation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .pages import ROOT

SETTINGS = ROOT / "deploy" / "docs" / "mkdocs.yml"
_LOADED = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="(?:https?:)?//[^"]*"')
_CANONICAL = re.compile(r'rel="(?:canonical|alternate|next|prev)"')


class _Loader(yaml.SafeLoader):
    """YAML with MkDocs' names of Python objects, read as nothing."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, suffix, node: None)


def navigated(entries: Any) -> set[str]:
    """The pages of a navigation."""
    if isinstance(entries, str):
        return {entries}
    values = entries.values() if isinstance(entries, dict) else entries
    return {page for value in values for page in navigated(value)}


def test_every_page_is_in_the_navigation() -> None:
    settings = yaml.load(SETTINGS.read_text(encoding="utf-8"), Loader=_Loader)
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    single = {f"decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    assert navigated(settings["nav"]) == pages - single
    assert settings["strict"] is True and settings["theme"]["font"] is False
    assert [next(iter(part)) for part in settings["nav"]] == [
        "Start",
        "Tutorial",
        "How-to",
        "Reference",
        "Explanation",
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(SETTINGS)]
    done = subprocess.run(
        [*build, "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = [tag for tag in _LOADED.findall(text) if not _CANONICAL.search(tag)]
        assert loaded == [], page
        assert "mermaid" not in text, f"{page}: a diagram that the theme would load from another host"
    assert (tmp_path / "search" / "search_index.json").stat().st_size > 500_000
    assert "config.example.yaml" in (tmp_path / "checkout" / "config.example.yaml.html").read_text(
        encoding="utf-8"
    )
