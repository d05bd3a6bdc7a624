"""The names of attributes are those of the installed semantic conventions."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from kvproxy.telemetry.tracing import attribute_names as names

MODULES = (
    "opentelemetry.semconv._incubating.attributes.gen_ai_attributes",
    "opentelemetry.semconv.attributes.error_attributes",
    "opentelemetry.semconv.attributes.http_attributes",
    "opentelemetry.semconv.attributes.network_attributes",
    "opentelemetry.semconv.attributes.server_attributes",
    "opentelemetry.semconv.attributes.url_attributes",
)
QUOTES = chr(34) * 3
RENAMED = ("Replaced by", "Removed")
"""Words that the package says of a name that is no longer current. "Moved" only says which repository has it."""


def constants() -> dict[str, str]:
    """The conventions' names, each with the documentation that stands behind it."""
    found: dict[str, str] = {}
    for module in MODULES:
        loaded = importlib.import_module(module)
        assert loaded.__file__ is not None
        lines = Path(loaded.__file__).read_text(encoding="utf-8").split(QUOTES)
        for name, value in vars(loaded).items():
            if name.isupper() and isinstance(value, str):
                at = next(i for i, part in enumerate(lines) if f"\n{name}: Final = " in part)
                found[value] = lines[at + 1]
    return found


def test_each_name_is_a_current_one() -> None:
    known = constants()
    assert len(names.CONVENTIONS) == len(set(names.CONVENTIONS)) > 20
    assert [name for name in names.CONVENTIONS if name not in known] == []
    assert [name for name in names.CONVENTIONS if any(word in known[name] for word in RENAMED)] == []
    assert any(word in known["gen_ai.usage.prompt_tokens"] for word in RENAMED), "an old name is told"


def test_own_names_are_below_our_own_word() -> None:
    listed = {v for k, v in vars(names).items() if k.isupper() and isinstance(v, str) and "." in v}
    assert {name for name in listed - set(names.CONVENTIONS)} == {
        name for name in listed if name.startswith("kvproxy.")
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_providers_are_the_conventions() -> None:
    values = importlib.import_module(MODULES[0]).GenAiProviderNameValues
    assert set(names.PROVIDERS.values()) <= {value.value for value in values}


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai/gpt-4o-mini", "openai"),
        ("mistral/mistral-small", "mistral_ai"),
        ("vertex_ai/gemini-2.5-pro", "gcp.vertex_ai"),
        ("hosted_vllm/qwen", "hosted_vllm"),
        ("gpt-4o-mini", "openai"),
    ],
)
def test_provider_of_litellms_model(model: str, provider: str) -> None:
    assert names.provider_of(model) == provider
