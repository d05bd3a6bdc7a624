"""docs/receipts.md: its program verifies a receipt without kvproxy, and its claims are those that receipts have."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.reader_pseudonyms import ReaderPseudonyms
from kvproxy.receipts.receipt_claims import RECEIPT_TYP, receipt_claims
from tests.receipts.booked_reads import read_of

PAGE = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_receipt_is_verified_without_kvproxy(tmp_path: Path) -> None:
    keys = HostKeys.open(tmp_path / "host")
    claims = receipt_claims(read_of(1), 0, host="kv.example", names=ReaderPseudonyms(b"s" * 32))
    (tmp_path / "jwks.json").write_text(json.dumps(keys.jwks()))
    receipt = keys.sign(claims, RECEIPT_TYP)
    program = block("python")
    assert "kvproxy." not in program
    for text, status in ((receipt, 0), (receipt[:-8] + "AAAAAAAA", 1)):
        (tmp_path / "receipt.txt").write_text(text + "\n")
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert done.stdout.strip() == (claims["price"] if status == 0 else "")


def test_the_page_shows_the_claims_that_a_receipt_has() -> None:
    claims = receipt_claims(read_of(1), 0, host="kv.example", names=ReaderPseudonyms(b"s" * 32))
    assert json.loads(block("json")).keys() == claims.keys()
