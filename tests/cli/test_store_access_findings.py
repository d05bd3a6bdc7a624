"""The store's folder as a start would find it; the server's own refusals are the measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.accounts.key_hash import open_secret
from kvproxy.cli.store_access_findings import store_access_findings
from kvproxy.errors import SetupError
from kvproxy.receipts.host_keys import HostKeys


def told(store: Path) -> list[str]:
    return [f"{found.level} {found.what}; {found.advice}" for found in store_access_findings(store)]


def test_a_sound_store_and_one_that_is_not_there_yet(tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert told(store) == []
    open_secret(store)
    HostKeys.open(store)
    assert told(store) == [] and len(list((store / "host-keys").glob("*.jwk"))) == 1


def test_keys_that_others_may_read(tmp_path: Path) -> None:
    open_secret(tmp_path)
    (tmp_path / "keys.secret").chmod(0o640)
    with pytest.raises(SetupError, match="can be read by others"):
        open_secret(tmp_path)
    [line] = told(tmp_path)
    assert line == (
        f"fail {tmp_path}/keys.secret: others may use it (mode 640); chmod 600 '{tmp_path}/keys.secret'"
    )
    (tmp_path / "keys.secret").chmod(0o600)
    HostKeys.open(tmp_path)
    [key] = (tmp_path / "host-keys").glob("*.jwk")
    key.chmod(0o644)
    with pytest.raises(SetupError, match="may be read by others"):
        HostKeys.open(tmp_path)
    assert [str(key) in line for line in told(tmp_path)] == [True]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [line] = told(tmp_path / "file" / "store")
    assert line.startswith(f"fail {tmp_path}/file is no folder that can be written")
