from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvproxy.cli.proof_files import read_jwks, read_receipts, read_statement
from kvproxy.errors import SetupError


def written(folder: Path, text: object) -> str:
    path = folder / "file"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        "a.b.c\n\n d.e.f \n",
        ["a.b.c", "d.e.f"],
        {"object": "list", "data": [{"jws": "a.b.c"}, {"jws": "d.e.f"}]},
        {"object": "kv_statement", "jws": "s.s.s", "receipts": ["a.b.c", "d.e.f"]},
        {"cost": "0.1", "receipts": ["a.b.c", "d.e.f"]},
    ],
)
def test_receipts_in_all_their_forms(tmp_path: Path, content: object) -> None:
    assert read_receipts(written(tmp_path, content)) == ["a.b.c", "d.e.f"]


def test_a_receipt_and_nothing(tmp_path: Path) -> None:
    assert read_receipts(written(tmp_path, {"object": "kv_receipt", "jws": "a.b.c"})) == ["a.b.c"]
    for empty in ("", "\n", "{}", "[]"):
        with pytest.raises(SetupError, match="holds no receipt"):
            read_receipts(written(tmp_path, empty))
    with pytest.raises(SetupError, match="cannot read"):
        read_receipts(str(tmp_path / "none"))


def test_a_statement_whole_or_bare(tmp_path: Path) -> None:
    whole = read_statement(written(tmp_path, {"jws": "s.s.s", "receipts": ["a.b.c"], "checkpoint": "note"}))
    assert (whole.jws, whole.receipts, whole.checkpoint) == ("s.s.s", ("a.b.c",), "note")
    bare = read_statement(written(tmp_path, "s.s.s\n"))
    assert (bare.jws, bare.receipts, bare.checkpoint) == ("s.s.s", (), None)
    for wrong in ("{", "{}", '{"jws": 1}'):
        with pytest.raises(SetupError):
            read_statement(written(tmp_path, wrong))


def test_keys_alone_or_in_a_hosts_description(tmp_path: Path) -> None:
    keys = {"keys": [{"kid": "k"}]}
    assert read_jwks(written(tmp_path, keys)) == read_jwks(written(tmp_path, {"jwks": keys})) == keys
    for wrong in ("[]", "{}", '{"keys": 1}', "x"):
        with pytest.raises(SetupError):
            read_jwks(written(tmp_path, wrong))
