from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvproxy.cli.bulk.bulk_sources import document_id, is_url, plan_sources
from kvproxy.documents.library.document import ID_PATTERN
from kvproxy.errors import SetupError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("a.md", "guides/intro.md", "guides/Über uns.txt", ".git/config", "guides/.hidden.md"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    outside = tmp_path / "secret.md"
    outside.write_text("s")
    (folder / "link.md").symlink_to(outside)
    (folder / "inside.md").symlink_to(folder / "a.md")
    return folder


def ids(*arguments: str, **options: object) -> list[str]:
    return [s.id for s in plan_sources(arguments, **options)]  # type: ignore[arg-type]  # options by name


def test_a_folder_is_what_lies_below_it(tree: Path) -> None:
    assert ids(str(tree)) == ["a", "guides/intro", "guides/Uber-uns", "inside"]
    assert ids(str(tree), include=["*.txt"], prefix="hr/") == ["hr/guides/Uber-uns"]


def test_a_pattern_has_ids_relative_to_its_fixed_part(tree: Path) -> None:
    assert ids(f"{tree}/**/*.md") == ["a", "guides/intro", "inside", "link"]
    assert ids(f"{tree}/guides/in*.md") == ["intro"]
    assert ids(f"{tree}/gui*/intro.md") == ["guides/intro"]


def test_files_and_urls_by_name(tree: Path) -> None:
    planned = plan_sources([str(tree / "a.md"), "https://example.com/legal/terms.txt", "http://example.com"])
    assert [(s.id, s.is_url) for s in planned] == [
        ("a", False),
        ("example.com/legal/terms", True),
        ("example.com/index", True),
    ]
    first, second = plan_sources(["https://example.com/t?v=1", "https://example.com/t?v=2"])
    assert first.id != second.id and first.id.startswith("example.com/t-")
    assert is_url("HTTPS://x") and not is_url("ftp://x") and not is_url("docs")


def test_a_source_that_is_named_twice_is_published_once(tree: Path) -> None:
    assert len(plan_sources([str(tree / "a.md"), str(tree), str(tree / "a.md")])) == 4


def test_two_that_would_have_one_id_keep_their_suffixes_or_are_faults(tree: Path) -> None:
    (tree / "a.txt").write_text("x")
    assert ids(str(tree))[:2] == ["a.md", "a.txt"]
    (tree / "b c.md").write_text("x")
    (tree / "b-c.md").write_text("x")
    clash = [s for s in plan_sources([str(tree)]) if s.where.endswith(("b c.md", "b-c.md"))]
    assert all(s.id == "" and "another source has the id 'b-c.md' too" in s.fault for s in clash)


def test_a_name_without_a_letter_is_a_fault(tree: Path) -> None:
    (tree / "日本.md").write_text("x")
    (source,) = (s for s in plan_sources([str(tree)]) if "日本" in s.where)
    assert source.id == "" and "--id" in source.fault


@pytest.mark.parametrize("argument", ["nowhere", "no/*.md", "ftp://example.com/a"])
def test_an_argument_that_names_nothing_is_refused(argument: str) -> None:
    with pytest.raises(SetupError, match="names no file"):
        plan_sources([argument])


def test_a_device_is_no_document(tree: Path) -> None:
    os.mkfifo(tree / "pipe.md")
    assert "pipe" not in ids(str(tree))


@given(st.text(max_size=300))
def test_an_id_is_always_one_that_can_be_published(name: str) -> None:
    id = document_id(name)
    assert id == "" or re.fullmatch(ID_PATTERN, id)


def test_a_long_path_is_cut_and_still_tells_two_apart() -> None:
    first, second = (document_id("a/" * 100 + last) for last in ("one", "two"))
    assert first != second and max(len(first), len(second)) <= 128
