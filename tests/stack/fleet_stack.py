"""A stack with two fleets alone, whose replicas are fake backends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.config import load_config
from kvproxy.core import ChatRequest, DocumentPart, DocumentRef, Message, TextPart
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.errors import SetupError
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from tests.documents.models import write_model

TEXT = "The handbook says how requests are answered, and by whom. " * 40


class Replicas:
    """Opens fake backends in place of replicas, and keeps them by the fleets' names."""

    def __init__(self) -> None:
        self.backends: dict[str, FakeBackend] = {}
        self.secrets: set[bytes] = set()
        self.refused = ""
        """The fleet whose replicas do not match."""
        self.closed: list[str] = []

    @asynccontextmanager
    async def open(
        self,
        settings: FleetSettings,
        folder: Path,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        secret: bytes,
    ) -> AsyncIterator[FakeBackend]:
        self.secrets.add(secret)
        if settings.name == self.refused:
            raise SetupError(f"{settings.name}: its replica has another tokenizer")
        context = settings.max_context or 8192
        backend = FakeBackend(model=settings.name, max_context=context, fingerprint=f"of {settings.name}")
        self.backends[settings.name] = backend
        try:
            yield backend
        finally:
            self.closed.append(settings.name)
        assert backend.check() == []


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> ModelFolders:
    """Two models with other tokenizers, and no weights at all."""
    one = write_model(tmp_path_factory.mktemp("one"), "smollm2-like")
    other = write_model(tmp_path_factory.mktemp("other"), "llama3-like")
    return ModelFolders(None, {"one": one, "other": other})


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


def settings_of(store: Path, **settings: Any) -> Any:
    fleets = [
        {"name": name, "model": name, "replicas": [f"http://127.0.0.1:{port}"], "max_context": context}
        for name, port, context in (("one", 8001, 8192), ("other", 8002, 4096))
    ]
    return load_config(
        None, {"store.path": store, "fleets": fleets, "host.name": "kv.example.com"} | settings
    )


@pytest.fixture
async def stack(folders: ModelFolders, replicas: Replicas, tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(settings_of(tmp_path / "store"), folders, replicas.open) as stack:
        yield stack


def asking(model: str) -> ChatRequest:
    system = Message("system", (DocumentPart(DocumentRef("handbook")),))
    return ChatRequest(model, (system, Message("user", (TextPart("why?"),))))
