"""The checks of the configuration before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kvproxy.config import Config, load_config
from kvproxy.errors import SetupError
from kvproxy.wire.bodies.request_reading import ReadingPolicy

RAW: dict[str, Any] = {
    "name": "raw",
    "passthrough": True,
    "params": {"model": "openai/x", "api_base": "http://x/v1", "api_key": "k"},
}
OTHER = {"name": "other", "params": {"model": "openai/y"}}


def loaded(folder: Path, data: dict[str, Any]) -> Config:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_config(path)


def test_a_raw_upstream(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"upstreams": [RAW, OTHER]})
    assert [u.passthrough for u in config.upstreams] == [True, False]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"model": "bedrock/x"}, "starts with openai/ or anthropic/"),
        ({"api_base": None}, "needs 'api_base'"),
        ({"api_key": ""}, "needs 'api_key'"),
        ({"timeout": 5}, "not timeout"),
        ({"model": 5}, "needs 'model'"),
    ],
)
def test_settings_that_a_raw_upstream_needs(tmp_path: Path, params: dict[str, Any], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        loaded(tmp_path, {"upstreams": [{**RAW, "params": {**RAW["params"], **params}}]})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"upstreams": [RAW, RAW]}, "the only one of its name"),
        ({"upstreams": [RAW, OTHER], "fallbacks": {"other": ["raw"]}}, "neither have nor be a fallback"),
        ({"upstreams": [RAW, OTHER], "fallbacks": {"raw": ["other"]}}, "neither have nor be a fallback"),
    ],
)
def test_a_raw_upstream_is_alone(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        loaded(tmp_path, more)


@pytest.mark.parametrize(
    ("origins", "kept"),
    [
        ("*", ("*",)),
        ("https://chat.example.com", ("https://chat.example.com",)),
        (
            ["loopback", "http://10.0.0.5:3000", "app://obsidian.md"],
            ("loopback", "http://10.0.0.5:3000", "app://obsidian.md"),
        ),
        ([], ()),
    ],
)
def test_origins(tmp_path: Path, origins: Any, kept: tuple[str, ...]) -> None:
    assert loaded(tmp_path, {"server": {"cors_origins": origins}}).server.cors_origins == kept


@pytest.mark.parametrize(
    "origin", ["chat.example.com", "https://a/", "https://a/b", "localhost:3000", "https://*", "", "a, b"]
)
def test_values_that_are_no_origin(tmp_path: Path, origin: str) -> None:
    with pytest.raises(SetupError, match="without a path"):
        loaded(tmp_path, {"server": {"cors_origins": [origin]}})


def test_aliases_lead_to_served_models(tmp_path: Path) -> None:
    aliases = {"claude-*": "qwen3-4b", "Small": "other", "*": "qwen3-4b"}
    assert loaded(tmp_path, {"upstreams": [OTHER], "aliases": aliases}).aliases == aliases


@pytest.mark.parametrize(
    ("aliases", "told"),
    [
        ({"claude-*": "nobody"}, "'nobody', which is not served; served: qwen3-4b, other"),
        ({"a": "b", "b": "qwen3-4b"}, "'b', which is not served"),
        ({"QWEN3-4B": "other"}, "served model's own name"),
        ({"other": "qwen3-4b"}, "served model's own name"),
        ({"small": "other", "Small": "other"}, "given twice"),
        ({" small": "other"}, "a space"),
        ({"": "other"}, "empty"),
    ],
)
def test_aliases_that_lead_nowhere(tmp_path: Path, aliases: dict[str, str], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        loaded(tmp_path, {"upstreams": [OTHER], "aliases": aliases})


def test_openings_are_lists_that_can_be_extended_and_emptied(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"requests": {"client_metadata": [], "volatile_openings": ["date", "Build *"]}})
    assert config.requests.client_metadata == ()
    assert config.requests.volatile_openings == ("date", "Build *")
    assert Config().requests.client_metadata == ReadingPolicy().client_metadata
    assert Config().requests.volatile_openings == ReadingPolicy().volatile_openings == ()


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"volatile_openings": ["dates"]}, "no rule 'dates'; known: date, time, session, env"),
        ({"client_metadata": ["*"]}, "client_metadata"),
        ({"client_metadata": [" "]}, "client_metadata"),
        ({"client_metadata": "x: *"}, "client_metadata"),
    ],
)
def test_rules_that_would_take_everything_or_nothing(
    tmp_path: Path, section: dict[str, Any], told: str
) -> None:
    with pytest.raises(SetupError, match="requests") as caught:
        loaded(tmp_path, {"requests": section})
    assert told in caught.value.message


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("section", sorted(Config.model_fields))
def test_a_section_of_comments_alone_is_as_if_left_out(tmp_path: Path, section: str) -> None:
    path = written(tmp_path, f"{section}:\n  # {section}: commented out\n")
    assert load_config(path) == load_config(None)
    assert load_config(path, {"server.port": 0, "model.path": "x", "engine.audit": 1.0}) == load_config(
        None, {"server.port": 0, "model.path": "x", "engine.audit": 1.0}
    )


def settings_of(section: str) -> list[str]:
    return list(getattr(type(getattr(Config(), section)), "model_fields", ()))


@pytest.mark.parametrize(
    ("section", "name"), [(section, name) for section in Config.model_fields for name in settings_of(section)]
)
def test_a_setting_that_is_left_empty_has_its_default(tmp_path: Path, section: str, name: str) -> None:
    assert load_config(written(tmp_path, f"{section}:\n  {name}:\n")) == load_config(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server:\n  prot: 1\n", "server: unknown setting 'prot'; did you mean 'port'?"),
        ("model: qwen\n", None),
        ("server: [1]\n", None),
        (
            "store: 3\n",
            "store: must hold settings by name (path, max_size, spill_max_size, compression, "
            "encryption_keys, objects), and is a value",
        ),
        ("documents:\n  framings:\n    -\n    - x\n", None),
        ("upstreams:\n  -\n", "upstreams.0.name: Field required; upstreams.0.params: Field required"),
        ("server:\n  api_keys:\n    - name: a\n      key:\n", "server.api_keys.0.key: Field required"),
        ("store:\n  max_size: tiny\n", "store.max_size: write a size like 512MiB or 4GiB"),
        (f"store:\n  max_size: {'9' * 400}GiB\n", "store.max_size: write a size like 512MiB or 4GiB"),
        ("x: 1\n", None),
    ],
)
@pytest.mark.parametrize("overrides", [{}, {"server.port": 0, "model.path": "y"}])
def test_the_whole_message_of_a_fault(
    tmp_path: Path, text: str, told: str | None, overrides: dict[str, Any]
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SetupError) as caught:
        load_config(path, overrides)
    assert "Value error" not in caught.value.message and "valid dictionary" not in caught.value.message
    if told is not None:
        assert caught.value.message == f"{path}: {told}"


@pytest.mark.parametrize("data", [b"\xff\xfe\xff", b"a: " + b"9" * 5000, b"a: 2026-99-99", b"[" * 5000])
def test_files_that_are_no_yaml(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(SetupError, match="is not valid YAML"):
        load_config(path)


def test_billing_is_read_exactly() -> None:
    billing = load_config(
        None, {"billing": {"default_publisher_share": "12.5%", "default_credit": "0.05"}}
    ).billing
    assert (billing.publisher_ppm, billing.credit_nano) == (125_000, 50_000_000)
    assert load_config(None, {"billing.default_credit": "unlimited"}).billing.credit_nano is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("currency", "dollars", "is no currency"),
        ("default_publisher_share", "101%", "more than 100%"),
        ("default_publisher_share", 0.8, "valid string"),
        ("default_credit", "-1", "write unlimited"),
        ("default_credit", "much", "is no amount"),
    ],
)
def test_wrong_billing_is_refused(name: str, value: object, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        load_config(None, {f"billing.{name}": value})
