"""Checks of replicas at a start: their facts, and the mismatches that are refused."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from kvproxy.backends.fleet.fleet_backend import FleetBackend
from kvproxy.backends.fleet.open_fleet import open_fleet
from kvproxy.backends.fleet.replica_checks import ReplicaChecks
from kvproxy.backends.fleet.replica_client import ReplicaClient, replica_session
from kvproxy.backends.fleet.replica_failure import ReplicaFailed
from kvproxy.errors import SetupError
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import BytesText
from kvproxy.settings.fleet_settings import FleetSettings
from tests.backends.fleet.conftest import SECRET, ModelTexts, OpenRig, opened_fleet
from tests.backends.fleet.fleet_requests import a_generation, answer_of
from tests.backends.fleet.raw_replica import Pieces, head, raw_replica
from tests.server.doubles import eventually


async def test_a_start_learns_context_block_and_version(rig: OpenRig) -> None:
    async with rig(2, ReplicaOptions(block_tokens=32, max_model_len=2048)) as fleet:
        assert (fleet.backend.info.max_context, fleet.backend.info.page_tokens) == (2048, 32)
        assert fleet.backend.info.exact is False
        figures = fleet.backend.figures().replicas
        assert [(f.name, f.up, f.block_tokens) for f in figures] == [("a", True, 32), ("b", True, 32)]
        assert all(f.version for f in figures)


async def test_the_settings_context_bounds_the_replicas(rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(max_model_len=2048), max_context=512) as fleet:
        assert fleet.backend.info.max_context == 512


async def test_another_tokenizer_is_refused_by_name(texts: ModelTexts) -> None:
    async with FakeReplica(text=BytesText()) as one:
        with pytest.raises(SetupError, match=r"'fleet': the replica x has another tokenizer .*token 0 is"):
            async with opened_fleet(texts, {"x": one}):
                pass


async def test_another_template_is_refused_unless_that_is_wanted(
    rig: OpenRig, texts: ModelTexts, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(1) as fleet:
        one = fleet["a"]
        one.faults.wrong_template = True
        with pytest.raises(
            SetupError, match=r"the replica x has another chat template .*require_same_template"
        ):
            async with opened_fleet(texts, {"x": one}):
                pass
        async with opened_fleet(texts, {"x": one}, require_same_template=False) as backend:
            assert backend.ready() is None
        assert "has another chat template" in caplog.text


async def test_another_model_is_refused(rig: OpenRig, texts: ModelTexts) -> None:
    async with rig(1) as fleet:
        with pytest.raises(SetupError, match=r"serves 'fake-model' and not 'other'; set served_as"):
            async with opened_fleet(texts, {"x": fleet["a"]}, served_as="other"):
                pass


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ((head(), b"<html>"), "does not answer /v1/models with a list of models: correct its url"),
        ((head(), b"[1, 2]"), "does not answer /v1/models with a list of models: correct its url"),
        ((head(), b'{"data": null}'), "does not answer /v1/models with a list of models: correct its url"),
        ((head(), b'{"data": ["m"]}'), "does not answer /v1/models with a list of models: correct its url"),
        ((head(404), b"no"), r"answered 404 \(no\) at /v1/models: correct its url"),
        ((head(307, "Location: https://x/\r\n"),), "answered 307 .* at /v1/models: correct its url"),
        ((head(401), b"no"), "answered 401 .*; set api_key"),
        ((head(502), b"no"), r"answered 502 \(no\)$"),
        ((head(), b'{"data": []}'), "serves no model yet"),
    ],
    ids=["html", "list", "null", "names", "404", "307", "401", "502", "empty"],
)
async def test_an_address_of_something_else_is_told_what_to_change(
    texts: ModelTexts, pieces: Pieces, why: str
) -> None:
    async with raw_replica(*pieces) as url, replica_session(connect_s=2, silence_s=5) as session:
        settings = FleetSettings.model_validate({"name": "fleet", "model": "m", "replicas": [url]})
        with pytest.raises(ReplicaFailed, match=why):
            await ReplicaChecks(settings, texts.tokenizer, texts.template).of(
                ReplicaClient(session, "a", url)
            )


async def test_a_replica_that_is_down_at_the_start_is_checked_when_it_comes(
    rig: OpenRig, texts: ModelTexts
) -> None:
    async with rig(2) as fleet:
        await fleet["a"].refuse()
        async with opened_fleet(texts, fleet.replicas) as backend:
            assert backend.ready() is None
            assert [(f.name, f.up) for f in backend.figures().replicas] == [("a", False), ("b", True)]
            await fleet["a"].accept()
            await eventually(lambda: all(f.up for f in backend.figures().replicas))


async def test_a_fleet_without_a_replica_opens_and_goes_on_trying(rig: OpenRig, texts: ModelTexts) -> None:
    async with rig(1) as fleet:
        await fleet["a"].refuse()
        async with opened_fleet(texts, fleet.replicas) as backend:
            assert backend.ready() == "none of its replicas is up"
            await fleet["a"].accept()
            await eventually(lambda: backend.ready() is None)
            assert (await answer_of(backend, a_generation((1, 2, 3)))).finished is not None


async def test_a_mismatching_replica_that_comes_later_is_never_used(rig: OpenRig, texts: ModelTexts) -> None:
    async with rig(2) as fleet:
        await fleet["a"].refuse()
        async with opened_fleet(texts, fleet.replicas) as backend:
            fleet["a"].faults.wrong_tokenizer = True
            await fleet["a"].accept()
            await eventually(lambda: backend.figures().replicas[0].state.startswith("refused: "))
            for at in range(8):
                await answer_of(backend, a_generation((at, 2, 3)))
            assert len(fleet["a"].requests) == 0


async def test_other_hashes_are_said_with_the_flag_and_read_by_their_tokens(
    rig: OpenRig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with rig(1, ReplicaOptions(hash_algorithm="sha256")) as fleet:
            prompt = tuple(range(100))
            await answer_of(fleet.backend, a_generation(prompt))
            with fleet.backend.hold(a_generation(prompt).prompt, a_generation(prompt).caller) as lookup:
                assert (
                    lookup.choice is not None and lookup.choice.expected_tokens == 96
                )  # as cached_tokens told
    assert "--prefix-caching-hash-algo sha256_cbor" in caplog.text


async def test_keys_reach_the_replica(texts: ModelTexts, rig: OpenRig) -> None:
    async with rig(1, ReplicaOptions(api_key="k")) as fleet:
        assert fleet.backend.ready() is not None
        async with opened_fleet(texts, fleet.replicas, api_key="k") as backend:
            assert backend.ready() is None


async def test_a_replica_that_tells_no_tokens_is_taken_with_a_warning(
    texts: ModelTexts, caplog: pytest.LogCaptureFixture
) -> None:
    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"}]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    async with TestServer(app) as server, opened(texts, server) as backend:
        assert backend.ready() is None
    assert caplog.text.count("has no /tokenize") == 1


@asynccontextmanager
async def opened(texts: ModelTexts, server: BaseTestServer) -> AsyncIterator[FleetBackend]:
    """Open a fleet of a server that is no fake replica."""
    listed = [str(server.make_url(""))]
    settings = FleetSettings.model_validate(
        {"name": "fleet", "model": str(texts.folder), "replicas": listed, "events": "off"}
    )
    async with open_fleet(
        settings, folder=texts.folder, tokenizer=texts.tokenizer, template=texts.template, secret=SECRET
    ) as backend:
        yield backend
