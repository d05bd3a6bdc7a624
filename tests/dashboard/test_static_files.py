"""The files that browsers get, and that those of others are what their projects have released."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from kvproxy.dashboard.static_files import FOLDER, StaticFiles

VENDORED: list[dict[str, Any]] = json.loads((FOLDER / "vendored.json").read_text(encoding="utf-8"))
FOREIGN = {name for package in VENDORED for name in package["files"]}


@pytest.mark.parametrize("package", VENDORED, ids=lambda package: str(package["name"]))
def test_a_vendored_file_is_the_released_one_and_has_its_licence(package: dict[str, Any]) -> None:
    for name, digest in package["files"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    licence = (FOLDER / package["licence_file"]).read_text(encoding="utf-8")
    assert "Permission" in licence and re.fullmatch(r"\d+\.\d+\.\d+", package["version"])


def test_what_is_not_vendored_is_written_here() -> None:
    served = set(StaticFiles.read().files)
    assert served >= FOREIGN and not any(".min." in name for name in served - FOREIGN)


def test_the_version_follows_the_content_and_the_names(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a{}")
    (tmp_path / "LICENSE").write_text("not served")
    first = StaticFiles.read(tmp_path)
    assert list(first.files) == ["a.css"] and first.url("a.css") == f"/ui/static/{first.version}/a.css"
    assert gzip.decompress(first.files["a.css"].compressed) == b"a{}"
    (tmp_path / "a.css").write_text("b{}")
    assert StaticFiles.read(tmp_path).version != first.version
    with pytest.raises(KeyError):
        first.url("LICENSE")


@pytest.mark.parametrize("name", sorted(set(StaticFiles.read().files) - FOREIGN))
def test_our_files_need_nothing_that_the_policy_forbids(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(
        r"\beval\(|new Function|set(?:Timeout|Interval)\(\s*[\"']|setAttribute\([\"']style", text
    )
    assert "@import" not in text and "url(" not in text and "https://" not in text
