"""A release's checks on small repositories, and on this one's own version and changelog."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

import kvproxy
from deploy import release
from deploy.release import NotReleasable

GOOD = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-29\n\n- All.\n\n## [0.1.0] - 2026-01-01\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "kvproxy").mkdir()
    (tmp_path / "kvproxy" / "__init__.py").write_text('"""Words."""\n\n__version__ = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(GOOD)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    person = (
        "-c",
        "user.name=n",
        "-c",
        "user.email=e@x",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "m")


def test_a_clean_tree_whose_version_has_a_section_can_be_released(repository: Path) -> None:
    assert release.check(repository) == "0.2.0"
    git(repository, "tag", "-a", "v0.2.0", "-m", "m")
    assert release.check(repository) == "0.2.0"  # as it is where the tag's own build runs


def test_a_tag_on_another_commit(repository: Path) -> None:
    git(repository, "tag", "-a", "v0.2.0", "-m", "m")
    (repository / "later").touch()
    commit(repository)
    with pytest.raises(NotReleasable, match="on another commit"):
        release.check(repository)


def test_a_changed_tree(repository: Path) -> None:
    (repository / "more").touch()
    with pytest.raises(NotReleasable, match=r"not clean; commit or remove:\n.. more"):
        release.check(repository)


def test_another_version(repository: Path) -> None:
    (repository / "kvproxy" / "__init__.py").write_text('__version__ = "0.3.0"\n')
    with pytest.raises(NotReleasable, match=r"says 0\.3\.0, the newest section of CHANGELOG\.md 0\.2\.0"):
        release.check(repository)
    (repository / "kvproxy" / "__init__.py").write_text("version = 1\n")
    with pytest.raises(NotReleasable, match="no line __version__"):
        release.check(repository)


@pytest.mark.parametrize(
    ("changelog", "message"),
    [
        ("", "must begin"),
        ("## [Unreleased]\n", "must begin"),
        ("## [0.2.0] - 2026-11-29\n\n## [0.1.0] - 2026-01-01\n", "must begin"),
        ("## [Unreleased]\n\n- A thing.\n\n## [0.2.0] - 2026-11-29\n", "not empty"),
        ("## [Unreleased]\n\n## [0.2.0]\n", "no date"),
    ],
)
def test_a_changelog_that_is_not_ready(changelog: str, message: str) -> None:
    with pytest.raises(NotReleasable, match=message):
        release.newest_section(changelog)


def test_archives_without_a_file_of_theirs(tmp_path: Path) -> None:
    with pytest.raises(NotReleasable, match="was not built"):
        release.check_archives(tmp_path, "0.2.0")
    for processor in release.PROCESSORS:
        with zipfile.ZipFile(tmp_path / release.wheel_name("0.2.0", processor), "w") as wheel:
            for name in release.SHIPPED:
                if name != "kvproxy/py.typed" or processor == "aarch64":
                    wheel.writestr(name, "")
    with tarfile.open(tmp_path / "kvproxy-0.2.0.tar.gz", "w:gz") as sdist:
        for name in (
            "tests/test_x.py",
            "docs/x.md",
            "CHANGELOG.md",
            "kvproxy/engine/native/kernels/kvproxy.h",
        ):
            sdist.addfile(tarfile.TarInfo(f"kvproxy-0.2.0/{name}"), io.BytesIO())
    with pytest.raises(NotReleasable, match=r"the archives lack kvproxy/py\.typed;"):
        release.check_archives(tmp_path, "0.2.0")
    with zipfile.ZipFile(tmp_path / release.wheel_name("0.2.0", "x86_64"), "a") as wheel:
        wheel.writestr("kvproxy/py.typed", "")
    release.check_archives(tmp_path, "0.2.0")


def test_the_version_stands_in_one_place() -> None:
    """The build reads it there (``dynamic`` in pyproject.toml); a released one has a dated section."""
    assert release.version() == kvproxy.__version__
    changelog = (release.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{kvproxy.__version__}] - " in changelog
