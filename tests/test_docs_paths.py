"""Every file and folder of the checkout that the documentation names exists, and every decision is in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
    ]
)
CITED = re.compile(
    r"(?<![\w/.@:~-])(?:kvproxy|tests|tools|benchmarks|integrations|examples|docs)/[\w./{},-]+"
)
BARE = re.compile(r"`([a-z_0-9]+\.py)`")
LINKED = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`(\w+)(?:\.(\w+))?`,? in\s+`((?:kvproxy|tests|tools)/[\w/]+\.py)`")
SETTINGS = re.compile(r"<!-- kvproxy env [\s\S]*?<!-- end -->")
"""An agent's settings, where ``kvproxy/qwen3-4b`` is a model's name."""
PLACEHOLDER = "NAME"
"""Stands for the name of what a reader adds: the folder that it would be in has to exist."""


def cited(text: str) -> list[str]:
    """Paths that the text names, those in braces written out, without the sentence's own punctuation."""
    found = []
    for path in CITED.findall(text):
        before, brace, rest = path.partition("{")
        inside, _, after = rest.partition("}")
        found += [f"{before}{part}{after}".rstrip(".,-") for part in (inside.split(",") if brace else [""])]
    return found


def exists(path: str) -> bool:
    where = ROOT / path
    return where.parent.is_dir() if PLACEHOLDER in where.name else where.exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    text = SETTINGS.sub("", page.read_text(encoding="utf-8"))
    assert [path for path in cited(text) if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_without_their_folder_exist(page: Path) -> None:
    names = {
        path.name
        for folder in ("kvproxy", "tests", "benchmarks", "tools")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(names) > 500
    assert set(BARE.findall(page.read_text(encoding="utf-8"))) - names == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = LINKED.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def defines(file: Path, name: str, member: str) -> bool:
    """Whether a module's source has a class, function or constant of the name, and of its member, if one is given."""
    text = file.read_text(encoding="utf-8")
    found = re.search(rf"^(?:class |def |async def ){name}\b|^{name}\b.*=", text, re.MULTILINE)
    return found is not None and (
        not member or re.search(rf"^    (?:async )?def {member}\b", text, re.MULTILINE) is not None
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_says_is_in_a_file_is_there(page: Path) -> None:
    """Of the form: `name` or `Class.method`, then " in ", then a path."""
    named = [
        found for found in NAMED.findall(page.read_text(encoding="utf-8")) if PLACEHOLDER not in found[0]
    ]
    assert [where for where in named if not defines(ROOT / where[2], where[0], where[1])] == []


def test_names_are_looked_for() -> None:
    here = Path(__file__)
    assert defines(here, "NAMED", "") and defines(here, "exists", "") and not defines(here, "exists", "gone")
    assert NAMED.findall("`A.b` in `kvproxy/c.py`, `D` in\n   `tests/e/f.py`") == [
        ("A", "b", "kvproxy/c.py"),
        ("D", "", "tests/e/f.py"),
    ]
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert len(NAMED.findall(architecture)) >= 7


def test_paths_are_found_and_missing_ones_noticed() -> None:
    text = "`kvproxy/store/disk.py`, tests/gone.py. kvproxy/{pipeline,gone}.py, kvproxy/wire/tool_formats/NAME.py."
    assert cited(text) == [
        *("kvproxy/store/disk.py", "tests/gone.py", "kvproxy/pipeline.py", "kvproxy/gone.py"),
        "kvproxy/wire/tool_formats/NAME.py",
    ]
    assert [exists(path) for path in cited(text)] == [True, False, True, False, True]
    assert cited("https://x.org/docs/a.md and ~/tests/b or `openai/kvproxy/c`") == []


def test_every_decision_is_in_the_index_and_has_its_parts() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(folder.glob("[0-9]*.md"))
    assert [file.name for file in files] == re.findall(r"\((\d{4}-[a-z-]+\.md)\)", index)
    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    for file in files:
        text = file.read_text(encoding="utf-8")
        number, title = text.partition("\n")[0].removeprefix("# ").split(". ", 1)
        assert file.name.startswith(number) and f"| {title} |" in index, file.name
        parts = ("Status: ", "## Context", "## Decision", "## Consequences", "## Alternatives rejected")
        assert [text.count(f"\n{part}") for part in parts] == [1] * len(parts), file.name
        assert 25 <= text.count("\n") <= 60, file.name
