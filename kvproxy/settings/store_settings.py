"""Settings of the tiers below memory: the object store, and the keys of encrypted pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from kvproxy.sealing.encryption_key import parse_key
from kvproxy.settings.section import Section

Acknowledge = Literal["local", "objects"]


def _off(value: object) -> object:
    """Read YAML's ``off``, which is false there."""
    return "off" if value is False else value


Compression = Annotated[Literal["off", "auto", "kv-rans-1", "kv-rans-1+layer0"], BeforeValidator(_off)]
"""``auto``: where loading is measured to get faster, where pages go to an object store, or where the store is nearly
full."""


class ObjectSettings(Section):
    """An object store that a fleet of proxies with the same model shares."""

    url: str | None = None
    """``file:///mnt/kv``, ``s3://bucket/prefix``, ``gs://bucket/prefix``, ``az://container/prefix``; None: no such
    tier."""
    acknowledge: Acknowledge = "local"
    """When a publish is answered: with its pages on this machine's disk, or in the object store as well."""
    timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Seconds that one request to it may take."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Tries of one request to it, before it counts as failed."""
    most_at_once: int = Field(default=8, ge=1, le=256)
    relist_s: float = Field(default=300.0, ge=1)
    """Seconds between two listings, which find the pages of other proxies."""
    options: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """obstore's own settings of that store, like endpoint, region and credentials; the environment's (AWS_…, GOOGLE_…,
    AZURE_…) count where none is set."""

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("file:///", "s3://", "gs://", "az://")):
            raise ValueError(
                f"'{url.partition('://')[0]}' is no store; write file:///…, s3://…, gs://… or az://…"
            )
        return url


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checked(keys: tuple[str, ...]) -> tuple[str, ...]:
    for key in keys:
        parse_key(key)
    return keys


EncryptionKeys = Annotated[
    tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_checked), Field(repr=False)
]
"""Base64 of 32 bytes each: the first one encrypts what is written, every one decrypts."""
