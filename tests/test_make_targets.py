"""The commands that the README, CI and ``make help`` name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PHONY = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
NAME = re.compile(r"(?<![\w/])make ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
"""The targets of a command line."""


def targets(text: str) -> set[str]:
    return {target for names in NAME.findall(text) for target in names.split()}


def recipes() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_every_phony_target_has_a_recipe() -> None:
    assert len(PHONY) > 8 and recipes() == PHONY


def test_help_has_a_line_for_every_target() -> None:
    shown = re.findall(r"make ([a-z-]+) ", MAKEFILE.partition("\nhelp:")[2].partition("\n\n")[0])
    assert PHONY - set(shown) == {"help"}


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", ".ci/run", "docs/clients.md", "docs/benchmarks.md"]
)
def test_what_a_text_says_to_make_is_a_target(file: str) -> None:
    path = ROOT / file
    if not path.exists():
        pytest.skip(f"there is no {file}")
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".md":  # commands stand in code, and "make" is a word elsewhere
        code = re.findall(r"`(make [^`]*)`", "\n".join(lines))
        lines = [*code, *(line.partition("#")[0] for line in lines if line.lstrip().startswith("make "))]
    named = targets("\n".join(lines))
    assert named, "nothing was looked at"
    assert named - PHONY == set()
