from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.engine.forward.tile_model import TileModel
from tests.document_files.hosts import open_host, small_model
from tests.documents.models import write_model


@pytest.fixture(scope="module")
def model() -> TileModel:
    return small_model()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("texts"), "smollm2-like")


async def test_an_exported_version_is_taken_in_with_its_pages(
    model: TileModel, texts: Path, tmp_path: Path
) -> None:
    async with open_host(tmp_path / "a", "a.example", model, texts) as a:
        ref = await a.publish()
        file = await a.export(ref)
        trusted = a.trusting()
    async with open_host(tmp_path / "b", "b.example", model, texts) as b:
        imported = await b.take(file, trusted)
        assert imported.note == "" and imported.pages > 4
        assert imported.published.prefill_s == 0.0
