"""What of the configuration is checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kvproxy.config import Config, load_config
from kvproxy.errors import SetupError
from kvproxy.wire.reading import ReadingPolicy

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
def test_what_a_raw_upstream_needs(tmp_path: Path, params: dict[str, Any], told: str) -> None:
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
