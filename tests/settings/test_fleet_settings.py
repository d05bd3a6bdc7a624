"""The section ``fleets``, and what it means for the rest of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kvproxy.config import Config, load_config
from kvproxy.errors import SetupError
from kvproxy.settings.fleet_settings import FleetSettings

FLEET: dict[str, Any] = {"name": "qwen", "model": "Qwen/Qwen3-32B", "replicas": ["http://gpu-1:8000"]}


def fleet(**changed: Any) -> FleetSettings:
    return FleetSettings.model_validate(FLEET | changed)


def read(folder: Path, text: str) -> Config:
    path = folder / "kvproxy.yaml"
    path.write_text(text)
    return load_config(path)


def test_a_replica_is_its_address_or_all_of_its_settings() -> None:
    bare, named = fleet(replicas=["http://gpu-1:8000/", {"url": "https://gpu-2/v1", "name": "two"}]).replicas
    assert (bare.address, bare.shown_name, bare.weight) == ("http://gpu-1:8000", "gpu-1:8000", 1.0)
    assert (named.address, named.shown_name) == ("https://gpu-2", "two")


@pytest.mark.parametrize("url", ["gpu-1:8000", "tcp://gpu-1:8000", "http://", "http://gpu-1:8000/?a=1"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="without /v1 at the end"):
        fleet(replicas=[url])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"replicas": []}, "has no replicas"),
        ({"replicas": ["http://a:1", "http://a:1"]}, "two replicas named 'a:1'"),
        ({"events": "bind"}, "need each other"),
        ({"events_bind": "tcp://0.0.0.0:44300"}, "need each other"),
        ({"events": "bind", "events_bind": "10.0.0.5:44300"}, "write tcp://host:5557"),
        ({"replicas": [{"url": "http://a:1", "events": "a:5557"}]}, "'a:5557' is no socket of KV events"),
        ({"replicas": [{"url": "http://a:1", "replay": "tcp://a:5558"}]}, "'a:1' has replay and no events"),
        ({"dns": {"host": "a", "replay_port": 5558}}, "replay_port and no events_port"),
        ({"lmcache": "lmcache:9300"}, "write http://host:9300"),
        ({"copies": {"least": 3, "most": 2}}, "most \\(2\\) is below least"),
        ({"bounded_load": 0.5}, "bounded_load"),
        ({"kind": "tgi"}, "kind"),
        ({"replica": []}, "replica"),
        ({"kind": "sglang", "audit": 0.01}, "audit: SGLang"),
    ],
)
def test_impossible_fleets_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fleet(**changed)


def test_dns_alone_gives_replicas_too() -> None:
    assert fleet(replicas=[], dns={"host": "vllm.svc"}).dns is not None


def test_off_is_no_boolean(tmp_path: Path) -> None:
    """YAML reads ``off`` as false."""
    text = "fleets: [{name: qwen, model: m, replicas: ['http://gpu-1:8000'], events: off}]"
    assert read(tmp_path, text).fleets[0].events == "off"


def test_keys_are_in_no_representation() -> None:
    assert "sk-secret" not in repr(fleet(replicas=[{"url": "http://a:1", "api_key": "sk-secret"}]))


def test_a_configuration_of_fleets_alone_has_no_local_model(tmp_path: Path) -> None:
    fleets = "fleets: [{name: qwen, model: m, replicas: ['http://gpu-1:8000']}]"
    alone = read(tmp_path, fleets)
    assert not alone.serves_local and alone.served_names == ("qwen",)
    both = read(tmp_path, f"{fleets}\nmodel: {{path: smollm2-135m}}")
    assert both.serves_local and both.served_names == ("smollm2-135m", "qwen")
    assert Config().serves_local and Config().served_names == ("qwen3-4b",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: {name: qwen}", "two served models have the name 'qwen'"),
        ("upstreams: [{name: qwen, params: {model: openai/x}}]", "an upstream has the name 'qwen'"),
        ("fallbacks: {qwen: [gone]}", "fallbacks names 'gone'"),
        ("aliases: {QWEN: qwen}", "own name"),
        ("aliases: {gpt-4o: gone}", "gone"),
    ],
)
def test_names_are_of_one_model_each(tmp_path: Path, text: str, told: str) -> None:
    fleets = "fleets: [{name: qwen, model: m, replicas: ['http://gpu-1:8000']}]"
    with pytest.raises(SetupError, match=told):
        read(tmp_path, f"{fleets}\n{text}")


def test_fleets_may_have_aliases_and_fallbacks(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "fleets: [{name: qwen, model: m, replicas: ['http://gpu-1:8000']}]\n"
        "upstreams: [{name: far, params: {model: openai/x}}]\n"
        "fallbacks: {qwen: [far]}\naliases: {gpt-*: qwen}\n",
    )
    assert config.fallbacks == {"qwen": ("far",)} and config.aliases == {"gpt-*": "qwen"}
