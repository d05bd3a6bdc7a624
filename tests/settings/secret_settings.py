"""Every setting that may hold a secret, found in the settings' own classes, with a place for it in a configuration."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from kvproxy.config import Config

WORD = "correct-horse"
LITERALS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "server.api_keys.key": ("server", {"api_keys": [{"name": "ann", "key": f"{WORD}-key-of-ann"}]}),
    "server.metrics_key": ("server", {"metrics_key": f"{WORD}-of-the-scraper"}),
    "store.encryption_keys": (
        "store",
        {"encryption_keys": [base64.b64encode(f"{WORD:32.32}".encode()).decode()]},
    ),
    "store.objects.options": (
        "store",
        {"objects": {"url": "s3://b/p", "options": {"secret_access_key": f"{WORD}-of-s3"}}},
    ),
    "database.url": ("database", {"url": f"postgresql+psycopg://kv:{WORD}-of-pg@127.0.0.1:1/kv"}),
    "database.password": (
        "database",
        {"url": "postgresql+psycopg://kv@127.0.0.1:1/kv", "password": f"{WORD}-of-the-database"},
    ),
    "dashboard.secret": ("dashboard", {"secret": f"{WORD}-of-sessions"}),
    "telemetry.headers": (
        "telemetry",
        {"traces": "otlp", "headers": {"authorization": f"{WORD}-of-the-collector"}},
    ),
    "fleets.replicas.api_key": (
        "fleets",
        {"name": "f", "model": "m", "replicas": [{"url": "http://127.0.0.1:1", "api_key": f"{WORD}-r"}]},
    ),
    "fleets.dns.api_key": (
        "fleets",
        {"name": "f", "model": "m", "dns": {"host": "localhost", "port": 1, "api_key": f"{WORD}-dns"}},
    ),
    "upstreams.params": (
        "upstreams",
        {
            "name": "u",
            "params": {"model": "openai/u", "api_base": "http://127.0.0.1:1", "api_key": f"{WORD}-u"},
        },
    ),
}
"""By dotted name, numbers of lists left out: the section, and what stands in it."""

LISTS = frozenset({"fleets", "upstreams"})


def secret_names(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Return the dotted names of settings that are kept out of ``repr``, in all sections below one."""
    for name, field in section.model_fields.items():
        if not field.repr:
            yield f"{prefix}{name}"
            continue
        for inner in _sections(field.annotation):
            yield from secret_names(inner, f"{prefix}{name}.")


def settings_with(name: str) -> dict[str, Any]:
    """Return a configuration with one secret written out."""
    section, value = LITERALS[name]
    return {section: [value] if section in LISTS else value}


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
