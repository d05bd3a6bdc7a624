"""A file is published as it is, and read as programs read it: that is the same document, and a hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.conversation import APACHE
from tests.e2e.conftest import Fresh
from tests.e2e.reader import Reader
from tests.e2e.test_command_line import Shell
from tests.e2e.texts import document, in_system, in_user

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

QUESTION = "What is this text about?"


def test_a_file_with_carriage_returns_is_read_without_them(fresh: Fresh, tmp_path: Path) -> None:
    text, publisher = document("crlf", 1_500), fresh()
    file = tmp_path / "crlf.txt"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    variants = {
        "system": file.read_bytes().decode("utf-8"),
        "system:lf": file.read_text(encoding="utf-8"),
        "system:no-bom": file.read_bytes().decode("utf-8-sig"),
        "system:no-bom+lf": file.read_text(encoding="utf-8-sig"),
    }
    assert len(set(variants.values())) == 4
    cold = {name: fresh().ask(in_system(sent, QUESTION), max_tokens=6) for name, sent in variants.items()}
    shell = Shell(publisher.url, publisher.key)
    status, out, err = shell("publish", str(file), "--id", "crlf")
    assert status == 0 and "4 spellings (published, lf, no-bom, no-bom+lf)" in out, err
    info = publisher.http.get("/kv/v1/documents/crlf").json()
    kept = {f["name"]: f["tokens"] for f in info["framings"]}
    tokens = {s["name"]: s["tokens"] for s in info["spellings"]}
    for name, sent in variants.items():
        warm = fresh().ask(in_system(sent, QUESTION), max_tokens=6)
        assert (warm.outcome, warm.key) == ("hit", "crlf@1")
        assert warm.cached == kept[name] >= tokens[name.partition(":")[2] or "published"] - 5 > 250
        assert (warm.text, warm.usage.prompt_tokens) == (cold[name].text, cold[name].usage.prompt_tokens)
    status, out, err = shell("verify", "crlf", "--tokens", "6")
    assert status == 0 and "8 of 8 exact" in out, out + err


def test_the_shipped_licence_is_found_when_it_was_stripped(fresh: Fresh, publisher: Reader) -> None:
    assert APACHE.startswith("\n")
    info = publisher.publish("licence", APACHE)["info"]
    kept = {f["name"]: f["tokens"] for f in info["framings"]}
    for layout, place in ((in_system, "system"), (in_user, "user")):
        for sent, name in ((APACHE, place), (APACHE.strip(), f"{place}:stripped")):
            answer = fresh().ask(layout(sent, QUESTION), max_tokens=1)
            assert (answer.outcome, answer.key, answer.cached) == ("hit", "licence@1", kept[name])
            assert answer.cached > info["tokens"] - 10 > 2_000
