from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.documents.models import write_model
from tests.server.dashboard.browsing import Browser, browsing
from tests.server.dashboard.document_shop import open_shop
from tests.server.doubles import Proxy


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer and a chat template without weights."""
    return write_model(tmp_path_factory.mktemp("dashboard-model"), "qwen3")


@pytest.fixture
def document_proxy(tiny_model: Path, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy with a real publisher on the fake engine."""
    shop, proxy = open_shop(tiny_model, tmp_path)
    yield proxy
    shop.close()


@pytest.fixture
async def shop_browser(document_proxy: Proxy) -> AsyncIterator[Browser]:
    """A browser of that proxy; nobody is logged in."""
    async with browsing(document_proxy) as browser:
        yield browser
