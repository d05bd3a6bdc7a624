"""The libraries of the models that publish nothing: what the primary model publishes, they take up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from kvproxy.core import ANONYMOUS, DocumentRef, Hit
from kvproxy.documents.registry.registry import Registry
from kvproxy.errors import Unavailable
from kvproxy.stack.followed_models import prepared_file
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from tests.server.doubles import eventually
from tests.stack.fleet_stack import TEXT, Replicas, asking, folders, replicas, settings_of, stack

__all__ = ["folders", "replicas", "stack"]  # fixtures


async def test_a_document_is_published_for_the_primary_and_taken_up_by_the_others(
    stack: Stack, replicas: Replicas
) -> None:
    stack.start_background()
    await stack.publisher.publish("handbook", TEXT, "public", ANONYMOUS)
    models = stack.pipeline.models
    await eventually(lambda: models.named("other").library.find(DocumentRef("handbook", 1)) is not None)
    prompts = {}
    for name in models.names:
        asked = await stack.pipeline.expected(asking(name), ANONYMOUS)
        assert asked.prompt.documents[0].document == DocumentRef("handbook", 1)
        prompts[name] = asked.prompt.token_ids
    assert prompts["one"] != prompts["other"], "each has its own template and tokens"

    async def hits(name: str) -> bool:
        return isinstance((await stack.pipeline.expected(asking(name), ANONYMOUS)).decision, Hit)

    assert await hits("one")
    async with asyncio.timeout(30):
        while not await hits("other"):  # noqa: ASYNC110  the follower prefills it in the background
            await asyncio.sleep(0.01)


async def test_a_withdrawn_document_leaves_all_libraries(stack: Stack) -> None:
    stack.start_background()
    await stack.publisher.publish("handbook", TEXT, "public", ANONYMOUS)
    other = stack.pipeline.models.named("other").library
    await eventually(lambda: other.find(DocumentRef("handbook", 1)) is not None)
    await stack.publisher.delete(DocumentRef("handbook"), ANONYMOUS)
    await eventually(lambda: other.find(DocumentRef("handbook", 1)) is None)


async def test_a_version_ends_in_all_libraries_without_a_database(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.start_background()
    await stack.publisher.publish("handbook", TEXT, "public", ANONYMOUS, ttl_s=2)
    libraries = [model.library for model in stack.pipeline.models]
    await eventually(lambda: all(library.find(DocumentRef("handbook", 1)) for library in libraries))

    def away(*_: object) -> NoReturn:
        raise Unavailable("The document registry cannot be used.", retry_after_s=1)

    for change in ("replace_kept", "end", "states", "named"):
        monkeypatch.setattr(Registry, change, away)
    await eventually(lambda: not any(library.find(DocumentRef("handbook", 1)) for library in libraries))
    assert all(library.withdrawn.find(DocumentRef("handbook", 1)) for library in libraries)


async def test_a_second_start_knows_the_documents_of_every_model(
    folders: ModelFolders, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path / "store")
    async with open_stack(settings, folders, Replicas().open) as stack:
        await stack.publisher.publish("handbook", TEXT, "public", ANONYMOUS)
    async with open_stack(settings, folders, Replicas().open) as stack:
        for model in stack.pipeline.models:
            assert model.library.find(DocumentRef("handbook", 1)) is not None, model.name


def test_each_model_has_a_file_of_prepared_texts() -> None:
    """Beside the primary's, under a name that the store's folder knows as its own."""
    primary = Path("store") / "prepared.sqlite3"
    files = {prepared_file(primary, name) for name in ("one", "other", "org/model")}
    assert len(files) == 3 and primary not in files
    assert all(file.parent == primary.parent and file.name.startswith(primary.name) for file in files)
