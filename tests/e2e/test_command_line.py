"""The commands that talk to a running proxy, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Fresh
from tests.e2e.texts import document, in_system

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


class Shell:
    def __init__(self, url: str, key: str) -> None:
        self._options = ("--url", url, "--api-key", key)

    def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Status, stdout, stderr."""
        command = [sys.executable, "-m", "kvproxy", *arguments, *self._options]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr


def test_a_documents_life(fresh: Fresh, tmp_path: Path) -> None:
    tenant = fresh()
    shell = Shell(tenant.url, tenant.key)
    text = document("life", 2_500)
    status, out, err = shell("publish", "-", "--id", "life", "--private", stdin=text)
    assert (status, out.split(":")[0]) == (0, "life@1"), err
    assert "private" in out and "tokens" in err
    assert tenant.ask(in_system(text, "Why?")).key == "life@1"

    file = tmp_path / "life.txt"
    file.write_text(text, encoding="utf-8")
    assert "already published" in shell("publish", str(file), "--id", "life")[1]
    file.write_text(text + "More.", encoding="utf-8")
    assert shell("publish", str(file), "--id", "life")[1].startswith("life@2: ")

    status, out, _ = shell("docs", "list", "--json")
    mine = [d for d in json.loads(out) if d["id"] == "life"]
    assert [(d["version"], d["current"], d["visibility"]) for d in mine] == [
        (1, False, "private"),
        (2, True, "private"),
    ]
    status, out, _ = shell("docs", "list")
    assert status == 0 and "life@1 (old)" in out and "life@2" in out
    assert shell("docs", "show", "life@1", "--text")[1] == text
    shown = json.loads(shell("docs", "show", "life")[1])
    assert shown["version"] == 2
    assert all(f["resident_tokens"] == f["tokens"] > 500 for f in shown["framings"])

    assert shell("docs", "delete", "life@1")[:2] == (0, "deleted life@1\n")
    assert shell("docs", "show", "life@1")[0] == 1
    assert tenant.documents().count("life@2") == 1
    assert shell("docs", "delete", "life")[:2] == (0, "deleted life\n")
    status, out, err = shell("docs", "delete", "life")
    assert (status, out) == (1, "") and "No such document: 'life'" in err


def test_verify_finds_no_difference(fresh: Fresh) -> None:
    tenant = fresh()
    tenant.publish("verified", document("verified", 1_500))
    shell = Shell(tenant.url, tenant.key)
    status, out, err = shell("verify", "verified")
    assert status == 0 and "verify verified" in err
    assert "2 of 2 exact" in out
    rows = [[cell.strip() for cell in x.split("│")[1:-1]] for x in out.splitlines() if "verified@1" in x]
    assert [row[1] for row in rows] == ["system", "user"]
    for _, _, cached, pages, positions, logits, greedy, argmax, difference, verdict in rows:
        assert int(cached) > 300 and pages == "2/2" and int(positions) > int(cached) + 24
        assert (greedy, logits, argmax) == ("24/24", f"{positions}/{positions}", f"{positions}/{positions}")
        assert (difference, verdict) == ("0.0", "exact")
    status, out, err = shell("verify", "not-there")
    assert (status, out) == (3, "") and "No such document" in err


def test_no_proxy_is_one_sentence() -> None:
    status, out, err = Shell("http://127.0.0.1:9", "a-key-of-nobody-at-all")("docs", "list")
    assert (status, out) == (1, "") and err.count("\n") == 1 and "kvproxy serve" in err
