from __future__ import annotations

import hashlib
import hmac
import stat
import threading
from pathlib import Path

import pytest

from kvproxy.accounts.key_hash import SECRET_NAME, KeyHash, hint_of, new_key_text, open_secret
from kvproxy.errors import SetupError


def test_digests_are_hmacs_under_the_secret() -> None:
    hash = KeyHash(b"s" * 32)
    assert hash.digest("kvp_x") == hmac.new(b"s" * 32, b"kvp_x", hashlib.sha256).digest()
    assert KeyHash(b"t" * 32).digest("kvp_x") != hash.digest("kvp_x")
    assert KeyHash(b"t" * 32).mark != hash.mark
    assert "ssss" not in repr(hash)
    assert len(hash.digest("\udcff")) == 32  # a header that is no UTF-8


def test_keys_are_long_and_all_different() -> None:
    keys = {new_key_text() for _ in range(500)}
    assert len(keys) == 500
    assert all(len(k) == 36 and k.startswith("kvp_") and k[4:].isalnum() and k.isascii() for k in keys)
    assert hint_of("kvp_abcdefgh") == "…efgh"


def test_the_secret_is_made_once_and_for_its_user(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(open_secret(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1 and len(found[0]) == 32
    assert [p.name for p in folder.iterdir()] == [SECRET_NAME]
    assert stat.S_IMODE((folder / SECRET_NAME).stat().st_mode) == 0o600


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    open_secret(tmp_path)
    (tmp_path / SECRET_NAME).chmod(0o640)
    with pytest.raises(SetupError, match=r"can be read by others \(mode 640\); do: chmod 600"):
        open_secret(tmp_path)


def test_a_damaged_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / SECRET_NAME).touch(mode=0o600)
    with pytest.raises(SetupError, match="is damaged"):
        open_secret(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot use"):
        open_secret(tmp_path / "file")
