from __future__ import annotations

from pathlib import Path

from kvproxy.receipts.checkpoint_check import check_checkpoints
from kvproxy.receipts.host_keys import HostKeys
from kvproxy.receipts.signed_note import Checkpoint
from kvproxy.receipts.statement_claims import STATEMENT_TYP
from tests.receipts.test_signed_note import note_of


def test_one_size_of_the_log_has_one_root(tmp_path: Path) -> None:
    keys = HostKeys.open(tmp_path)
    statement = keys.sign({"log": {"size": 5, "root": "00" * 32}}, STATEMENT_TYP)
    same = note_of(keys, Checkpoint("kv.example", 5, bytes(32)))
    later = note_of(keys, Checkpoint("kv.example", 6, b"x" * 32))
    assert check_checkpoints([statement], [same, later, same], keys.jwks()) == []
    forked = note_of(keys, Checkpoint("kv.example", 5, b"x" * 32))
    (fault,) = check_checkpoints([statement], [forked], keys.jwks())
    assert fault.kind == "log" and "5 rows has another root" in fault.message
    kinds = [f.kind for f in check_checkpoints([statement, "x"], [same.replace("5", "7")], keys.jwks())]
    assert kinds == ["log", "signature"]
