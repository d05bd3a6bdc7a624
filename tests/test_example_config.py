"""config.example.yaml says it shows every setting with its default: it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from kvproxy.config import Config, load_config
from kvproxy.settings.fleet_settings import (
    DnsReplicaSettings,
    FleetCopies,
    FleetSettings,
    ReplicaSettings,
)

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"

WITHOUT_A_FIXED_DEFAULT = {"store.path"}  # depends on the user


def test_its_values_are_the_defaults() -> None:
    assert load_config(EXAMPLE) == Config()


def test_it_names_every_setting() -> None:
    def names(model: type[BaseModel], data: dict[str, Any], prefix: str = "") -> set[str]:
        missing = set()
        for name, field in model.model_fields.items():
            kind = field.annotation
            if name not in data:
                missing.add(prefix + name)
            elif isinstance(kind, type) and issubclass(kind, BaseModel):
                missing |= names(kind, data[name], f"{prefix}{name}.")
        return missing

    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert names(Config, example) == WITHOUT_A_FIXED_DEFAULT
    assert "# path:" in EXAMPLE.read_text(encoding="utf-8")


def test_the_commented_examples_are_valid_too() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("api_keys: [] ", "api_keys:").replace("upstreams: [] ", "upstreams:")
    text = text.replace("trusted_hosts: [] ", "trusted_hosts:").replace("fleets: [] ", "fleets:")
    text = text.replace("fallbacks: {} ", "fallbacks:").replace("aliases: {} ", "aliases:")
    lines = [
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line
        for line in text.splitlines()[2:]
    ]
    data = yaml.safe_load("\n".join(lines).replace("${", "").replace("_KEY}", "_KEY_0123456789"))
    config = Config.model_validate(data)
    assert [u.name for u in config.upstreams] == ["gpt-4o-mini", "big-qwen", "raw-qwen"]
    assert [k.name for k in config.server.api_keys] == ["alice", "gateway", "clinic", "boss"]
    assert [host.name for host in config.documents.trusted_hosts] == ["kv.example"]
    assert config.fallbacks == {"qwen3-4b": ("big-qwen",), "qwen3-32b": ("big-qwen",)}
    assert config.aliases == {"claude-*": "qwen3-4b", "gpt-*": "qwen3-4b", "small": "gpt-4o-mini"}


def test_the_example_of_a_fleet_names_every_setting_with_its_default() -> None:
    """Those without a default are what an operator has to say, and the replicas' parts are examples."""
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = text[text.index("  # - name: qwen3-32b") : text.index("\nupstreams:")].splitlines()
    [fleet] = yaml.safe_load("\n".join(line.replace("# ", "", 1) for line in lines))
    for model, data in (
        (FleetSettings, fleet),
        (FleetCopies, fleet["copies"]),
        (DnsReplicaSettings, fleet["dns"]),
        (ReplicaSettings, fleet["replicas"][0]),
    ):
        assert list(data) == list(model.model_fields), model
        shown = {n: data[n] for n, f in model.model_fields.items() if not f.is_required()}
        examples = {"replicas", "dns", "copies", "api_key"}
        assert {n: v for n, v in shown.items() if n not in examples} == {
            n: f.default for n, f in model.model_fields.items() if not f.is_required() and n not in examples
        }
