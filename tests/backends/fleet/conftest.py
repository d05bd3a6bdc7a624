"""Fleets of fake replicas with a real tokenizer and template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kvproxy.backends.fleet.fleet_backend import FleetBackend
from kvproxy.backends.fleet.open_fleet import open_fleet
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ModelText
from kvproxy.settings.fleet_settings import FleetSettings

SECRET = b"s" * 32


@dataclass
class FleetRig:
    """An open fleet and its replicas, by the names ``a``, ``b``, and so on."""

    backend: FleetBackend
    replicas: dict[str, FakeReplica]
    tokenizer: Tokenizer

    def __getitem__(self, name: str) -> FakeReplica:
        return self.replicas[name]


@dataclass(frozen=True)
class ModelTexts:
    """A real model's tokenizer and template, without its weights."""

    folder: Path
    tokenizer: Tokenizer
    template: ChatTemplate


OpenRig = Callable[..., AbstractAsyncContextManager[FleetRig]]


@pytest.fixture(scope="session")
def texts(smollm2: Path) -> ModelTexts:
    return ModelTexts(smollm2, Tokenizer.load(smollm2), ChatTemplate.load(smollm2))


@asynccontextmanager
async def opened_fleet(
    texts: ModelTexts, replicas: Mapping[str, FakeReplica], api_key: str | None = None, **settings: Any
) -> AsyncIterator[FleetBackend]:
    """Open a fleet of replicas that run: ``async with opened_fleet(texts, {"a": replica}) as backend: ...``"""
    listed = [{"name": name, "url": one.url, "api_key": api_key} for name, one in replicas.items()]
    made = FleetSettings.model_validate(
        {"name": "fleet", "model": str(texts.folder), "replicas": listed, **settings}
    )
    async with open_fleet(
        made, folder=texts.folder, tokenizer=texts.tokenizer, template=texts.template, secret=SECRET
    ) as backend:
        yield backend


@pytest.fixture
def rig(texts: ModelTexts) -> OpenRig:
    """Open a fleet of so many replicas: ``async with rig(2, isolation="strict") as fleet: ...``"""

    @asynccontextmanager
    async def opened(
        count: int = 2, options: ReplicaOptions | None = None, **settings: Any
    ) -> AsyncIterator[FleetRig]:
        async with AsyncExitStack() as stack:
            replicas: dict[str, FakeReplica] = {}
            for name in "abcdefgh"[:count]:
                text = ModelText(texts.tokenizer, texts.template, texts.folder)
                replicas[name] = await stack.enter_async_context(FakeReplica(options, text=text))
            backend = await stack.enter_async_context(opened_fleet(texts, replicas, **settings))
            yield FleetRig(backend, replicas, texts.tokenizer)

    return opened
