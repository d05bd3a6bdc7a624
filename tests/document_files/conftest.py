from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from kvproxy.engine.forward.tile_model import TileModel
from tests.document_files.hosts import Exported, Host, export_once, open_host, small_model
from tests.documents.models import write_model


@pytest.fixture(scope="session")
def small() -> TileModel:
    return small_model()


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("texts"), "smollm2-like")


@pytest.fixture(scope="session")
def exported(small: TileModel, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A file of the host ``a.example``, with the keys that signed it."""
    return export_once(tmp_path_factory.mktemp("exporter"), small, texts)


@pytest.fixture
async def importer(small: TileModel, texts: Path, tmp_path: Path) -> AsyncIterator[Host]:
    """The host ``b.example``, with nothing published. At its end every page is audited."""
    async with AsyncExitStack() as life:
        yield await life.enter_async_context(open_host(tmp_path / "importer", "b.example", small, texts))
