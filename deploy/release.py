"""Checks that the tree can be released, builds sdist and wheels, and prints the commands that tag it. Pushes nothing.

``python -m deploy.release`` (or ``make release``) from the checkout's root.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_VERSION = re.compile(r'^__version__ = "(?P<version>[^"]+)"$', re.MULTILINE)
_SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)

PROCESSORS = ("x86_64", "aarch64")
"""One wheel each, for every Python and every Linux with glibc 2.17; other machines compile the sdist."""

SHIPPED = (
    "kvproxy/__init__.py",
    "kvproxy/py.typed",
    "kvproxy/server/docs.css",
    "kvproxy/examples/apache-2.0.txt",
    "kvproxy/engine/native/libkvproxy_kernels.so",
)
"""Files of the wheel whose absence no test of the checkout would show."""


class NotReleasable(Exception):
    """The tree cannot be released as it is; the message says what to do."""


def version(root: Path = ROOT) -> str:
    """Return the one place of the version, ``kvproxy/__init__.py``, which the build reads too."""
    found = _VERSION.search((root / "kvproxy" / "__init__.py").read_text(encoding="utf-8"))
    if found is None:
        raise NotReleasable('kvproxy/__init__.py has no line __version__ = "…"')
    return found["version"]


def newest_section(changelog: str) -> tuple[str, str]:
    """Return version and date of the newest section below ``Unreleased``, which has to be empty.

    Example: ``newest_section("## [Unreleased]\\n\\n## [0.2.0] - 2026-11-29\\n")`` is ``("0.2.0", "2026-11-29")``.
    """
    sections = list(_SECTION.finditer(changelog))
    if len(sections) < 2 or sections[0]["version"] != "Unreleased":
        raise NotReleasable("CHANGELOG.md must begin with '## [Unreleased]', then a section for each version")
    if changelog[sections[0].end() : sections[1].start()].strip():
        raise NotReleasable("Unreleased in CHANGELOG.md is not empty: give it a version and a date first")
    newest = sections[1]
    if newest["date"] is None:
        raise NotReleasable(
            f"the section {newest['version']} of CHANGELOG.md has no date: '## [X.Y.Z] - YYYY-MM-DD'"
        )
    return newest["version"], newest["date"]


def check(root: Path = ROOT) -> str:
    """Return the version that can be released. Raises `NotReleasable`."""
    wanted, (listed, _) = version(root), newest_section((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if wanted != listed:
        raise NotReleasable(
            f"kvproxy/__init__.py says {wanted}, the newest section of CHANGELOG.md {listed}: make them equal"
        )
    if changed := _git(root, "status", "--porcelain"):
        raise NotReleasable(f"the tree is not clean; commit or remove:\n{changed}")
    if _git(root, "tag", "--list", f"v{wanted}") and _git(root, "rev-list", "-n1", f"v{wanted}") != _git(
        root, "rev-parse", "HEAD"
    ):
        raise NotReleasable(f"the tag v{wanted} is on another commit; raise the version")
    return wanted


def wheel_name(wanted: str, processor: str) -> str:
    """Return the name of a version's wheel: ``wheel_name("0.2.0", "x86_64")``."""
    return f"kvproxy-{wanted}-py3-none-manylinux2014_{processor}.manylinux_2_17_{processor}.whl"


def check_archives(folder: Path, wanted: str) -> None:
    """Raise `NotReleasable` where sdist or a wheel of ``wanted`` is missing in ``folder`` or lacks a file."""
    wheels = [folder / wheel_name(wanted, processor) for processor in PROCESSORS]
    sdist = folder / f"kvproxy-{wanted}.tar.gz"
    for archive in (*wheels, sdist):
        if not archive.is_file():
            raise NotReleasable(f"{archive} was not built")
    missing = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            names = set(packed.namelist())
        missing += [name for name in SHIPPED if name not in names]
    with tarfile.open(sdist) as unpacked:
        sources = set(unpacked.getnames())
    missing += [
        name
        for name in ("tests", "docs", "CHANGELOG.md", "kvproxy/engine/native/kernels/kvproxy.h")
        if f"kvproxy-{wanted}/{name}" not in _with_parents(sources)
    ]
    if missing:
        raise NotReleasable(
            f"the archives lack {', '.join(missing)}; see [tool.hatch.build] in pyproject.toml"
        )


def _with_parents(names: set[str]) -> set[str]:
    return names | {str(parent) for name in names for parent in Path(name).parents}


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()


def _build(what: str, **variables: str) -> None:
    command = [sys.executable, "-m", "build", what, "--outdir", "dist"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=True)


def main() -> int:
    """Return the exit status: 0 once all archives are in ``dist/``."""
    try:
        wanted = check()
        _build("--sdist")
        for processor in PROCESSORS:
            _build("--wheel", KVPROXY_WHEEL_FOR=processor)
        check_archives(ROOT / "dist", wanted)
    except NotReleasable as e:
        print(f"no release: {e}", file=sys.stderr)
        return 1
    print(f"\nbuilt dist/kvproxy-{wanted}.tar.gz and the wheels. To release it:\n")
    print(f"  git tag -a v{wanted} -m 'kvproxy {wanted}'\n  git push origin v{wanted}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
