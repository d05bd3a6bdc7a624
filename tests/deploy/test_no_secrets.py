"""deploy/ holds no secret: each setting that could be one is a reference, a place, or empty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "deploy"
FILES = sorted(
    path
    for path in ROOT.rglob("*")
    if path.is_file() and "__pycache__" not in path.parts and not {"secrets", "identity"} & set(path.parts)
)
READ = [
    path for path in FILES if path.suffix in {".yaml", ".yml"} and not {"templates", "docs"} & set(path.parts)
]
_NAMED = re.compile(r"password|secret|token|(^|_)key$", re.IGNORECASE)
_RANDOM = re.compile(r"\b(?:[0-9a-f]{32,}|[A-Za-z0-9+/]{40,}={0,2})\b")
_GIVEN = re.compile(r"^(\$\{[^}]+\}|\$\$?\(.*\)|/run/secrets/\w+|\./secrets/\w+|)$")


def settings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from settings(one, str(key))
    elif isinstance(value, list):
        for one in value:
            yield from settings(one, name)
    elif isinstance(value, str):
        yield name, value


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_what_is_named_like_a_secret_is_given_from_outside(path: Path) -> None:
    found = [
        (name, value)
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        for name, value in settings(document)
        if _NAMED.search(name) and name not in {"secrets", "access_key_id"}
    ]
    assert [(name, value) for name, value in found if _GIVEN.fullmatch(value) is None] == []


def test_the_test_sees_settings() -> None:
    fleet = yaml.safe_load((ROOT / "fleet" / "kvproxy.yaml").read_text(encoding="utf-8"))
    assert sum(_NAMED.search(name) is not None for name, _ in settings(fleet)) == 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_looks_random(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [found for found in _RANDOM.findall(text) if re.search(r"\d", found)] == []
    assert "BEGIN" not in text
