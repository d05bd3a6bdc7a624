"""A stack with fleets alone: its models, what it has no pages for, and its market."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvproxy.catalog.document_catalog import CatalogSearch
from kvproxy.core import ANONYMOUS, DocumentRef, Message, TextPart
from kvproxy.errors import ModelNotFound, SetupError
from kvproxy.stack.model_folders import ModelFolders
from kvproxy.stack.open_stack import Stack, open_stack
from tests.server.doubles import eventually
from tests.stack.fleet_stack import TEXT, Replicas, asking, folders, replicas, settings_of, stack

__all__ = ["folders", "replicas", "stack"]  # fixtures


async def test_the_first_fleet_is_the_primary_model(stack: Stack, replicas: Replicas) -> None:
    assert stack.pipeline.models.names == ("one", "other")
    assert stack.pipeline.models.primary.backend is replicas.backends["one"]
    assert [(m.name, m.fingerprint, m.max_context) for m in stack.market.host.models] == [
        ("one", "of one", 8192),
        ("other", "of other", 4096),
    ]
    assert stack.market.charging.fingerprints == {"one": "of one", "other": "of other"}
    [secret] = replicas.secrets
    assert len(secret) >= 16, "salts are made with the host's secret"


async def test_a_process_without_an_engine_has_no_pages_of_its_own(stack: Stack, tmp_path: Path) -> None:
    assert (stack.engine, stack.files, stack.upkeep) == (None, None, None)
    assert stack.publisher.manifests is None
    assert not (tmp_path / "store" / "pages").exists() and not (tmp_path / "store" / "spill").exists()
    with pytest.raises(SetupError, match="fleets alone"):
        stack.local.occupancy()


async def test_ready_as_long_as_one_fleet_is(stack: Stack, replicas: Replicas) -> None:
    assert stack.ready() is None
    replicas.backends["one"].not_ready = "no replica is up"
    assert stack.ready() is None
    replicas.backends["other"].not_ready = "no replica is up"
    assert stack.ready() == "one: no replica is up; other: no replica is up"


async def test_prompts_of_an_unknown_model_are_refused(stack: Stack) -> None:
    with pytest.raises(ModelNotFound, match="`one`, `other`"):
        await stack.pipeline.expected(asking("third"), ANONYMOUS)


async def test_the_store_of_a_fleet_is_one_process_s(
    stack: Stack, folders: ModelFolders, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="in use by another kvproxy"):
        async with open_stack(settings_of(tmp_path / "store"), folders, Replicas().open):
            pass


@pytest.fixture
async def priced(folders: ModelFolders, replicas: Replicas, tmp_path: Path) -> AsyncIterator[Stack]:
    tariff = tmp_path / "tariff.yaml"
    prices = '{one: {input: "5", output: "15"}, other: {input: "7", output: "15"}}'
    tariff.write_text(f"currency: USD\ntariffs: [{{valid_from: 2026-01-01, models: {prices}}}]\n")
    settings = settings_of(tmp_path / "store", tariff=tariff, **{"billing.default_credit": "5"})
    async with open_stack(settings, folders, replicas.open) as stack:
        stack.start_background()
        await stack.publisher.publish("handbook", TEXT, "public", ANONYMOUS)
        other = stack.pipeline.models.named("other").library
        await eventually(lambda: other.find(DocumentRef("handbook", 1)) is not None)
        yield stack


async def test_the_catalog_has_each_model_s_tokens_and_price(priced: Stack) -> None:
    [entry] = (await priced.offers.catalog.page(ANONYMOUS, CatalogSearch()))["data"]
    assert set(entry["tokens"]) == set(entry["price"]) == {"one", "other"}
    for name, price in (("one", 5_000), ("other", 7_000)):
        assert entry["price"][name]["cold"]["nano"] == entry["tokens"][name] * price


async def test_a_document_is_quoted_for_the_model_that_is_asked_for(priced: Stack) -> None:
    maker, ref = priced.offers.quote_maker, DocumentRef("handbook")
    quoted = {name: (await maker.of_document(ref, ANONYMOUS, 10, name)).body for name in ("one", "other")}
    assert (await maker.of_document(ref, ANONYMOUS, 10)).body["model"] == "one"
    assert [body["model"] for body in quoted.values()] == ["one", "other"]
    for name, price in (("one", 5_000), ("other", 7_000)):
        assert quoted[name]["miss"]["nano"] == quoted[name]["prompt_tokens"] * price


async def test_each_model_s_misses_are_compared_with_its_own_requests(stack: Stack) -> None:
    reporters = stack.explaining.reporters
    assert set(reporters) == {"one", "other"}
    explainers = [reporter.explainer for reporter in reporters.values()]
    for name in ("one", "other"):
        request = replace(asking(name), messages=(Message("user", (TextPart("Today is Monday. " * 30),)),))
        asked = await stack.pipeline.expected(request, ANONYMOUS)
        stack.explaining.thread.remember(asked, name)
    await eventually(lambda: [len(e.previous or ()) for e in explainers] == [1, 1])
