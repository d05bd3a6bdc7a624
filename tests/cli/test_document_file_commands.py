"""``kvproxy docs manifest``, ``export``, ``import`` and ``inspect``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvproxy import Client
from kvproxy.cli.app import app
from tests.document_files.conftest import exported, importer, small, texts
from tests.document_files.hosts import TEXT, Exported, Host
from tests.document_files.served_host import KEYS, served
from tests.server.doubles import client_of

__all__ = ["exported", "importer", "small", "texts"]


def call(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


async def test_a_document_goes_out_is_inspected_and_comes_in(importer: Host, tmp_path: Path) -> None:
    file, jwks = tmp_path / "handbook.kvdoc", tmp_path / "host.jwks"
    jwks.write_text(json.dumps(importer.keys.jwks()))

    def life(url: str) -> None:
        at = ("--url", url, "--api-key", dict(KEYS)["alice"])
        with Client(url, dict(KEYS)["alice"]) as client:
            client.publish("handbook", TEXT, visibility="private")
        status, out, _ = call("docs", "export", "handbook", "-o", file, *at)
        assert (status, out) == (0, f"{file}: {file.stat().st_size / 2**20:,.1f} MiB\n")
        status, out, told = call("docs", "manifest", "handbook", "--verify", "--jwks", jwks, *at)
        assert status == 0 and json.loads(out)["document"]["id"] == "handbook"
        assert told.startswith("the signature of b.example holds")
        status, bare, _ = call("docs", "manifest", "handbook@1", "--jws", *at)
        assert status == 0 and importer.keys.verify(bare, "kvproxy-manifest+jws")["iss"] == "b.example"
        status, out, _ = call("docs", "import", file, "--as", "copy", "--visibility", "private", *at)
        assert status == 0 and out.startswith(
            "copy@1: 651 tokens, private, from handbook@1 of b.example, 6 pages taken"
        )
        status, out, _ = call("docs", "import", file, "--as", "copy", "--visibility", "private", *at)
        assert out == "copy@1: already published\n"
        status, out, _ = call(
            "docs", "import", file, "--as", "text", "--text-only", "--visibility", "private", *at
        )
        assert status == 0 and "only the text was asked for" in out and "prefilled here" in out

    async with client_of(served(importer)) as http:
        await asyncio.to_thread(life, str(http.make_url("/")).rstrip("/"))


def test_a_file_is_inspected_offline(exported: Exported, tmp_path: Path) -> None:
    file, jwks = tmp_path / "x.kvdoc", tmp_path / "a.jwks"
    file.write_bytes(exported.file)
    jwks.write_text(json.dumps(exported.keys.jwks()))
    status, out, _ = call("docs", "inspect", file)
    assert status == 0 and "handbook@1 of a.example: 651 tokens, 6 pages" in out and "not checked" in out
    status, out, _ = call("docs", "inspect", file, "--jwks", jwks)
    assert status == 0 and out.endswith("text and pages have the digests of the manifest; signature holds\n")
    status, out, _ = call("docs", "inspect", file, "--json")
    assert json.loads(out) == exported.claims | {"format": "kvproxy-manifest/1"}
    damaged = bytearray(exported.file)
    damaged[-100] ^= 1
    file.write_bytes(damaged)
    status, _, told = call("docs", "inspect", file)
    assert status == 1 and "Page 2 of framing 'user' is damaged" in told
    jwks.write_text(json.dumps({"keys": []}))
    file.write_bytes(exported.file)
    status, _, told = call("docs", "inspect", file, "--jwks", jwks)
    assert status == 1 and "not among the host's keys" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("docs", "inspect", "none.kvdoc"), "is no file"),
        (("docs", "import", "none.kvdoc", "--text-only", "--require-pages"), "exclude each other"),
    ],
)
def test_wrong_words_are_told(arguments: tuple[str, ...], said: str) -> None:
    status, _, told = call(*arguments)
    assert status == 2 and said in told
