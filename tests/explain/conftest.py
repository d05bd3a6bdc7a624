"""A small model's folder, written once, and an explainer for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.models import write_model
from tests.explain.asking import Asker


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("explained"), "qwen3")


@pytest.fixture
def asker(small_model: Path) -> Iterator[Asker]:
    asker = Asker(small_model)
    yield asker
    assert asker.previous.check() == []
