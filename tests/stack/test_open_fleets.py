"""Opening of fleets: in the configuration's order, each with its own texts and the host's secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.accounts.key_hash import open_secret
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import SetupError
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_fleets import open_fleets
from tests.stack.fleet_stack import Replicas, folders, settings_of

__all__ = ["folders"]  # a fixture


async def test_each_fleet_has_its_own_texts(folders: ModelFolders, tmp_path: Path) -> None:
    replicas, settings = Replicas(), settings_of(tmp_path / "store")
    async with open_fleets(settings, folders.fleets, replicas.open) as fleets:
        assert [fleet.name for fleet in fleets] == ["one", "other"]
        for fleet in fleets:
            assert fleet.tokenizer.digest == Tokenizer.load(folders.fleets[fleet.name]).digest
            assert fleet.backend is replicas.backends[fleet.name]
            assert fleet.hosted.fingerprint == fleet.backend.info.fingerprint == f"of {fleet.name}"
    assert replicas.secrets == {open_secret(tmp_path / "store")}


async def test_without_fleets_nothing_is_opened(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "store", fleets=[])
    async with open_fleets(settings, {}, Replicas().open) as fleets:
        assert fleets == ()
    assert not (tmp_path / "store").exists(), "nor is a secret made"


async def test_a_fleet_that_cannot_be_opened_closes_those_before(
    folders: ModelFolders, tmp_path: Path
) -> None:
    replicas = Replicas()
    replicas.refused = "other"
    with pytest.raises(SetupError, match="another tokenizer"):
        async with open_fleets(settings_of(tmp_path / "store"), folders.fleets, replicas.open):
            pass
    assert replicas.closed == ["one"]
