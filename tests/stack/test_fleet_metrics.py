"""The fleets' series and auditors, made from open fleets."""

from __future__ import annotations

from pathlib import Path

from kvproxy.backends.fake.expecting_backend import ExpectingBackend
from kvproxy.backends.fake.fake_backend import FakeBackend
from kvproxy.documents.prompts.template import ChatTemplate
from kvproxy.documents.tokens.tokenizer import Tokenizer
from kvproxy.fake_replica.fake_replica import FakeReplica
from kvproxy.fake_replica.replica_options import ReplicaOptions
from kvproxy.fake_replica.replica_text import ModelText
from kvproxy.served_model import ServedModel, ServedModels
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.stack.fleet_metrics import fleet_auditors, fleet_series, is_idle
from tests.backends.fleet.conftest import ModelTexts, opened_fleet
from tests.server.doubles import CharComposer


def settings(name: str, audit: float) -> FleetSettings:
    return FleetSettings.model_validate(
        {"name": name, "model": "m", "replicas": ["http://127.0.0.1:9"], "audit": audit}
    )


async def test_each_replica_of_a_fleet_has_its_series(smollm2: Path) -> None:
    texts = ModelTexts(smollm2, Tokenizer.load(smollm2), ChatTemplate.load(smollm2))
    text = ModelText(texts.tokenizer, texts.template, texts.folder)
    async with FakeReplica(ReplicaOptions(), text=text) as one, opened_fleet(texts, {"a": one}) as backend:
        composer = CharComposer()
        models = [ServedModel("local", FakeBackend(), composer), ServedModel("fleet", backend, composer)]
        [series] = fleet_series(models, {})
        assert is_idle(backend)
    assert (series.fleet, [r.replica for r in series.replicas]) == ("fleet", ["a"])
    assert series.replicas[0].up and series.replicas[0].queued_tokens == 0
    assert series.audits == {"agree": 0, "differ": 0, "dropped": 0}
    assert series.counts.keys() == {"broken_streams", "overruled", "warmed"}
    assert series.gauges.keys() == {"warm_queue", "resident_blocks"}


def test_only_fleets_with_a_share_are_audited() -> None:
    composer = CharComposer()
    models = ServedModels(
        [ServedModel(name, ExpectingBackend(model=name), composer) for name in ("one", "other")]
    )
    auditors = fleet_auditors([settings("one", 0.25), settings("other", 0.0)], models)
    assert list(auditors) == ["one"]
    assert auditors["one"].counts.agree == 0
    assert is_idle(models.named("other").backend), (
        "another backend is no fleet, and has no replica that works"
    )
