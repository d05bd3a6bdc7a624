"""A settings file: values are put into scalars, change no structure, and are never quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.settings.settings_file import SettingsFile, read_settings_file


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def read(text: str | bytes, **environ: str) -> SettingsFile:
        path = tmp_path / "config.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_settings_file(path, environ)

    return read


def test_a_variable_stands_as_if_it_had_been_written_there(read: Any) -> None:
    text = "a: {port: ${P}, quoted: '${P}', part: x-${P}-y, none: ${E}, 'k${P}': 1}\n"
    expected = {"port": 8321, "quoted": "8321", "part": "x-8321-y", "none": None, "k8321": 1}
    assert read(text, P="8321", E="").data == {"a": expected}


def test_a_value_cannot_change_the_structure(read: Any) -> None:
    hostile = "x]}\nserver: {host: 0.0.0.0} # \"' &a *b !!python/object ${OTHER}"
    for scalar in ("${H}", '"${H}"', "'${H}'"):
        assert read(f"a: [{scalar}]\nb: 1\n", H=hostile).data == {"a": [hostile], "b": 1}


def test_a_value_from_a_file_is_always_text(read: Any, tmp_path: Path) -> None:
    (tmp_path / "digits").write_text("1234567890123456\n")
    found = read(
        f"key: ${{file:{tmp_path}/digits}}\nurl: pg://u:${{file:{tmp_path}/digits}}@${{H}}/d\n", H="db"
    )
    assert found.data == {"key": "1234567890123456", "url": "pg://u:1234567890123456@db/d"}


def test_references_in_comments_need_no_value(read: Any) -> None:
    found = read("# ${A}\na: 1  # ${file:/nowhere}\n")
    assert (found.data, dict(found.values), found.faults) == ({"a": 1}, {}, ())


def test_all_that_is_missing_is_told_at_once(read: Any) -> None:
    found = read("a: ${A}\nb: '${file:/nowhere}'\nc: ${A}\nd: ${vault:x}\n")
    assert [fault.split(" uses ")[1].split(",")[0].split(";")[0] for fault in found.faults] == [
        "${A}",
        "${file:/nowhere}",
        "${vault:x}",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 'hidden-key", "line 1"),
        ("a: hidden-key\n b: [", "line 2"),
        ("a: !!int hidden-key", "cannot be read"),
        ("a: 2026-99-99", "cannot be read"),
        ("a: 1\n---\na: hidden-key\n", "line 2"),
        ("- hidden-key", "by section"),
        (b"a: \xff", "UTF-8"),
        ("a: *b", "undefined alias"),
        ("? ${H} : [\n", "line"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_place_alone(read: Any, text: str | bytes, told: str) -> None:
    [fault] = read(text, H="hidden-key").faults
    assert told in fault and "hidden-key" not in fault and "\ue000" not in fault


def test_a_message_has_references_instead_of_values(read: Any) -> None:
    found = read("a: ${A}\nb: ${B}\nc: ${C}\n", A="hidden", B="hidden-too", C="no")
    assert found.masked("hidden-too is no hidden") == "${B} is no ${A}"
    assert "hidden" not in repr(found)


def test_an_empty_file_and_none(tmp_path: Path, read: Any) -> None:
    assert read("").data == {}
    [fault] = read_settings_file(tmp_path / "none.yaml").faults
    assert "cannot read the configuration" in fault
