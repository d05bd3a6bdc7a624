"""References of a settings file to the environment, to files and to systemd's credentials."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.settings.secret_references import (
    MOST_BYTES,
    SecretReference,
    UnknownSecret,
    find_references,
)


def only(text: str) -> SecretReference:
    [(_, _, found)] = find_references(text)
    return found


def test_each_reference_is_found_with_its_place() -> None:
    text = "a: ${ALICE} # b: ${file:/run/secrets/b c}\nc: '${credential:c}' ${} $D ${e f}"
    found = find_references(text)
    assert [text[begins:ends] for begins, ends, _ in found] == [one.text for _, _, one in found]
    assert [(one.source, one.argument) for _, _, one in found] == [
        ("environment", "ALICE"),
        ("file", "/run/secrets/b c"),
        ("credential", "c"),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("key", "key"),
        ("key\n", "key"),
        ("key\r\n", "key"),
        ("key\n\n", "key\n"),
        (" a: # ${B} \n", " a: # ${B} "),
    ],
)
def test_a_files_text_without_the_line_end_at_its_end(tmp_path: Path, written: str, read: str) -> None:
    file = tmp_path / "alice"
    file.write_bytes(written.encode())
    assert only(f"${{file:{file}}}").value({}) == read
    assert only("${credential:alice}").value({"CREDENTIALS_DIRECTORY": str(tmp_path)}) == read


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("${ALICE}", {}, "${ALICE}, which is not set in the environment"),
        ("${file:/nowhere/alice}", {}, "${file:/nowhere/alice}, which cannot be read: No such file"),
        ("${file:}", {}, "${file:}, which names no file"),
        ("${credential:alice}", {}, "CREDENTIALS_DIRECTORY is not set: systemd sets it"),
        ("${credential:../alice}", {"CREDENTIALS_DIRECTORY": "/run"}, "which names no credential"),
        ("${credential:..}", {"CREDENTIALS_DIRECTORY": "/run"}, "which names no credential"),
        ("${vault:alice}", {}, "known are ${NAME}, ${file:/path} and ${credential:name}"),
    ],
)
def test_references_without_a_value(text: str, environ: dict[str, str], told: str) -> None:
    with pytest.raises(UnknownSecret) as caught:
        only(text).value(environ)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hidden\xff", "not UTF-8"),
        (b"hidden" * MOST_BYTES, "more than 64 KiB"),
    ],
)
def test_files_that_hold_no_secret_are_not_quoted(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(UnknownSecret, match=told) as caught:
        only(f"${{file:{tmp_path / 's'}}}").value({})
    assert "hidden" not in str(caught.value) and "0xff" not in str(caught.value)


def test_only_references_to_files_have_a_path() -> None:
    assert only("${ALICE}").path({}) is None
    assert only("${file:/a/b}").path({}) == Path("/a/b")
    assert only("${credential:b}").path({"CREDENTIALS_DIRECTORY": "/a"}) == Path("/a/b")
    assert only("${credential:b}").path({}) is only("${vault:b}").path({}) is None
