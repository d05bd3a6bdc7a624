"""One folder, tokenizer and composer per kind of model, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.documents.tokens.tokenizer import Tokenizer
from tests.documents.models import KINDS, more_models, write_model

MODELS = [*KINDS, "smollm2", *(str(p) for p in more_models())]


@pytest.fixture(scope="session", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model folder there is; ``smollm2`` is the real one."""
    if request.param == "smollm2":
        found: Path = request.getfixturevalue("smollm2")
        return found
    if request.param in KINDS:
        return write_model(tmp_path_factory.mktemp("model"), request.param)
    return Path(request.param)


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture(scope="session")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("qwen3"), "qwen3")
