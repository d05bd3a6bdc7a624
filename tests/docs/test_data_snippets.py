"""Every JSON and YAML example parses; a configuration is one that the server would start with, a tariff is valid."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvproxy.config import Config
from kvproxy.tariffs.tariff_file import read_tariff_file

from .pages import PAGES, Snippet, fenced, name_of

SECTIONS = set(Config.model_fields)
SECRET = base64.b64encode(b"32 bytes of nobody's own secret.").decode()
"""Long enough for an API key, and a key of encryption."""


def examples(page: Path, language: str) -> Iterator[Snippet]:
    yield from (
        snippet for snippet in fenced(page) if snippet.language in (language, {"yaml": "yml"}.get(language))
    )


def settings(text: str) -> dict[str, Any] | None:
    """The settings of a YAML example, with placeholders for its secrets; None where it is no configuration."""
    data = yaml.safe_load(re.sub(r"\$\{[^}]+\}", SECRET, text))
    known = isinstance(data, dict) and data and set(data) <= SECTIONS
    return data if known else None


def others(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Upstreams for the models that an example's aliases and fallbacks lead to, besides the local one."""
    fallbacks = found.get("fallbacks", {})
    names = {
        *found.get("aliases", {}).values(),
        *fallbacks,
        *(name for names in fallbacks.values() for name in names),
    }
    return [{"name": name, "params": {"model": f"openai/{name}"}} for name in sorted(names - {"qwen3-4b"})]


@pytest.mark.parametrize("page", [page for page in PAGES if any(examples(page, "json"))], ids=name_of)
def test_json_parses(page: Path) -> None:
    for snippet in examples(page, "json"):
        try:
            json.loads(snippet.text)
        except ValueError as e:
            pytest.fail(f"{snippet.where}: {e}")


@pytest.mark.parametrize("page", [page for page in PAGES if any(examples(page, "yaml"))], ids=name_of)
def test_yaml_is_a_configuration_or_a_tariff(page: Path, tmp_path: Path) -> None:
    for snippet in examples(page, "yaml"):
        data = yaml.safe_load(snippet.text)
        if isinstance(data, dict) and "tariffs" in data:
            file = tmp_path / "tariff.yaml"
            file.write_text(snippet.text, encoding="utf-8")
            read_tariff_file(file)
            continue
        found = settings(snippet.text)
        assert found is not None, f"{snippet.where}: not a configuration; sections: {list(data)}"
        Config.model_validate({"upstreams": others(found), **found})


def test_faults_are_noticed() -> None:
    assert settings("server: {port: 1}") == {"server": {"port": 1}} and settings("services: {}") is None
    with pytest.raises(ValueError, match="did you mean"):
        Config.model_validate(settings("server: {prot: 1}"))
