"""The configuration: read once, frozen; an unknown name is rejected with the nearest known one.

Only :mod:`kvproxy.stack`, ``serve``, ``cli`` and ``bench`` use these classes; other packages get plain arguments.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_cache_path, user_data_path
from pydantic import BeforeValidator, Field, model_validator

from kvproxy.core.callers import DEFAULT_PERMISSIONS, Permission
from kvproxy.errors import SetupError
from kvproxy.settings.all_faults import validated
from kvproxy.settings.byte_size import Bytes, parse_bytes
from kvproxy.settings.dashboard_settings import DashboardSettings
from kvproxy.settings.document_settings import DocumentSettings as DocumentSettings
from kvproxy.settings.document_settings import FramingSettings as FramingSettings
from kvproxy.settings.explain_settings import ExplainSettings
from kvproxy.settings.fleet_settings import FleetSettings
from kvproxy.settings.learning_settings import LearningSettings
from kvproxy.settings.market_settings import BillingSettings, DatabaseSettings, HostSettings
from kvproxy.settings.payment_settings import PaymentSettings
from kvproxy.settings.section import Section as _Section
from kvproxy.settings.settings_file import SettingsFile, read_settings_file
from kvproxy.settings.store_settings import Compression, EncryptionKeys, ObjectSettings
from kvproxy.settings.telemetry_settings import TelemetrySettings
from kvproxy.settings.upstream_settings import UpstreamSettings as UpstreamSettings
from kvproxy.settings.usage_settings import UsageSettings

NAMED_OPENINGS = ("date", "time", "session", "env")

OpeningLine = Annotated[str, Field(max_length=200, pattern=r"[^\s*]")]
"""One line of text, in which ``*`` stands for any text; never ``*`` alone."""

_ORIGIN = re.compile(r"\*|loopback|null|[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s*,]+")


def _as_list(value: object) -> object:
    """Turn one text into a list of it."""
    return [value] if isinstance(value, str) else value


class ApiKey(_Section):
    """One tenant's API key. Only this key reads the tenant's KV, except for public documents."""

    name: str = Field(min_length=1, max_length=64)
    """The tenant's name."""
    key: str = Field(min_length=16, repr=False)
    """The secret that its callers send."""
    isolate_by: Literal["prompt_cache_key"] | None = None
    """The request field by which a gateway separates people who share this key; None: only a request's
    ``cache_salt`` does."""
    scopes: frozenset[Permission] = DEFAULT_PERMISSIONS
    """The permissions of the key: all but admin where none are named."""
    retain: bool = True
    """False: no request of this key leaves pages, stored responses or audits behind."""


class ServerSettings(_Section):
    """The HTTP server: its address, tenants, limits in bytes and seconds, and metrics."""

    host: str = "127.0.0.1"
    """The address that is listened on; 0.0.0.0: every one of this machine's."""
    port: int = Field(default=8321, ge=0, le=65535)
    api_keys: tuple[ApiKey, ...] = ()
    max_body: Bytes = 32 * 2**20
    drain_timeout_s: float = Field(default=30.0, ge=0)
    keepalive_s: float = Field(default=10.0, gt=0)
    timeout_s: float = Field(default=600.0, gt=0)
    cors_origins: Annotated[tuple[str, ...], BeforeValidator(_as_list)] = ("loopback",)
    """Origins of the browser pages that may send requests, or ``loopback``, or ``*``."""
    metrics: bool = True
    metrics_key: str | None = Field(default=None, min_length=16, repr=False)

    @model_validator(mode="after")
    def _distinct(self) -> ServerSettings:
        for field, values in (
            ("name", [k.name for k in self.api_keys]),
            ("key", [k.key for k in self.api_keys]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"two api_keys have the same {field}; give each its own")
        for origin in self.cors_origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f"cors_origins has '{origin}'; write 'loopback', '*', or an origin without a path, like "
                    "https://chat.example.com or http://10.0.0.5:3000"
                )
        return self


class ModelSettings(_Section):
    """The local model: a folder or a repository name, and the device and type that it is computed with."""

    path: str = "Qwen/Qwen3-4B"
    name: str | None = None
    revision: str | None = None
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    device: str = "auto"
    threads: int | None = Field(default=None, ge=1)
    max_context: int | None = Field(default=None, ge=256)

    @property
    def served_name(self) -> str:
        """The name in the API: ``name``, else the last part of ``path`` in lower case, a file's without .gguf."""
        return self.name or self.path.rstrip("/").rsplit("/", 1)[-1].lower().removesuffix(".gguf")


class EngineSettings(_Section):
    """The engine's page budget in bytes, its queue in requests, speculation and audits."""

    page_budget: Bytes | Literal["auto"] = "auto"
    max_running: int = Field(default=64, ge=1)
    max_waiting: int = Field(default=256, ge=0)
    default_max_tokens: int | None = Field(default=None, ge=1)
    """The limit of requests that set none; None: to the end of the context, as in OpenAI's API."""
    speculation: Literal["auto", "off"] = "auto"
    audit: float = Field(default=0.0, ge=0, le=1)
    """Share of the hits, 0 to 1, that are computed again from scratch while the engine is idle."""
    retain_share: float = Field(default=0.25, ge=0, le=1)
    """The part of the page budget whose pages may give way last because one tenant's sessions ask for it."""
    retain_max_s: float = Field(default=3600.0, ge=0)


class RequestSettings(_Section):
    """The reading of requests for the local model that ask for unavailable features."""

    hosted_tools: Literal["leave_out", "refuse"] = "leave_out"
    unreadable_history: Literal["note", "refuse"] = "note"
    store_false: Literal["response", "nothing"] = "response"
    """The meaning of ``store: false``: OpenAI's, which is about the response alone, or that nothing at all is kept."""
    client_metadata: tuple[OpeningLine, ...] = ("x-anthropic-billing-header:*",)
    """Lines at the head of a system text that its client wrote for its own servers: kept out of the prompt."""
    volatile_openings: tuple[OpeningLine, ...] = ()
    """Lines at the head of a system text that are moved behind it: date, time, session, env, or a line with ``*``."""

    @model_validator(mode="after")
    def _known_openings(self) -> RequestSettings:
        for entry in self.volatile_openings:
            if re.fullmatch(r"[\w-]+", entry) and entry not in NAMED_OPENINGS:
                known = ", ".join(NAMED_OPENINGS)
                raise ValueError(f"volatile_openings has no rule '{entry}'; known: {known}, or a line with *")
        return self


class StoreSettings(_Section):
    """The folder of kept pages, and the bytes that it and its spill files may take."""

    path: Path = Field(default_factory=lambda: user_data_path("kvproxy") / "store")
    max_size: Bytes = 20 * 2**30
    spill_max_size: Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)] = 10 * 2**30
    """Bytes for pages of no published document that memory has no room for, until the next start; 0: none."""
    compression: Compression = "off"
    """Lossless compression of pages as they are written: off, auto, or a codec's name."""
    encryption_keys: EncryptionKeys = ()
    """Keys of pages in files and objects; none: they are not encrypted."""
    objects: ObjectSettings = ObjectSettings()


class ResponseSettings(_Section):
    """Stored responses, which later requests may continue."""

    ttl_s: float = Field(default=30 * 86400.0, gt=0)
    max_size: Bytes = 256 * 2**20


class Config(_Section):
    """All settings, one attribute for each section of config.example.yaml.

    Example:
        ``load_config(Path("kvproxy.yaml"), {"server.port": 0}).server.host``
    """

    server: ServerSettings = ServerSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    requests: RequestSettings = RequestSettings()
    store: StoreSettings = Field(default_factory=StoreSettings)
    database: DatabaseSettings = DatabaseSettings()
    host: HostSettings = HostSettings()
    tariff: Path | None = None
    billing: BillingSettings = BillingSettings()
    payments: PaymentSettings = PaymentSettings()
    documents: DocumentSettings = DocumentSettings()
    learning: LearningSettings = LearningSettings()
    responses: ResponseSettings = ResponseSettings()
    explain: ExplainSettings = ExplainSettings()
    dashboard: DashboardSettings = DashboardSettings()
    usage: UsageSettings = UsageSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    fleets: tuple[FleetSettings, ...] = ()
    upstreams: tuple[UpstreamSettings, ...] = ()
    fallbacks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    aliases: dict[str, str] = Field(default_factory=dict)
    """Other names of models, also patterns with ``*``, ``?`` and ``[…]``; the first that fits counts."""

    @property
    def serves_local(self) -> bool:
        """True where this process computes the local model itself: where ``model`` is configured, or nothing else that
        holds KV."""
        return "model" in self.model_fields_set or not self.fleets

    @property
    def served_names(self) -> tuple[str, ...]:
        """The names of the models whose KV is managed here: the local one's first, then the fleets'."""
        local = (self.model.served_name,) if self.serves_local else ()
        return (*local, *(fleet.name for fleet in self.fleets))

    @model_validator(mode="after")
    def _aliases_lead_somewhere(self) -> Config:
        known = [*self.served_names, *(u.name for u in self.upstreams)]
        taken = {name.casefold() for name in known}
        for alias, target in self.aliases.items():
            if not alias.strip() or alias != alias.strip():
                raise ValueError(
                    f"aliases has '{alias}'; a name neither is empty nor begins or ends with a space"
                )
            if target not in known:
                raise ValueError(f"aliases names '{target}', which is not served; served: {', '.join(known)}")
            if alias.casefold() in taken:
                raise ValueError(f"aliases has '{alias}', which is a served model's own name, or given twice")
            taken.add(alias.casefold())
        return self

    @model_validator(mode="after")
    def _names(self) -> Config:
        served = self.served_names
        known = {*served, *(u.name for u in self.upstreams)}
        if twice := next((name for name in served if served.count(name) > 1), None):
            raise ValueError(f"two served models have the name '{twice}'; give the fleet another one")
        if taken := next((u.name for u in self.upstreams if u.name in served), None):
            raise ValueError(f"an upstream has the name '{taken}' of the local model or of a fleet")
        for name, targets in self.fallbacks.items():
            for missing in {name, *targets} - known:
                raise ValueError(
                    f"fallbacks names '{missing}', which is neither the local model, a fleet nor an upstream"
                )
        for raw in (u.name for u in self.upstreams if u.passthrough):
            if sum(u.name == raw for u in self.upstreams) > 1:
                raise ValueError(f"upstream '{raw}' has passthrough, so it must be the only one of its name")
            if any(raw in (name, *targets) for name, targets in self.fallbacks.items()):
                raise ValueError(
                    f"upstream '{raw}' has passthrough, so it can neither have nor be a fallback"
                )
        return self


def default_cache_dir() -> Path:
    """Return the folder of converted models."""
    return user_cache_path("kvproxy")


def load_config(path: Path | None, overrides: dict[str, Any] | None = None) -> Config:
    """Read ``path`` (YAML, ``${NAME}``, ``${file:PATH}`` and ``${credential:NAME}`` replaced by their values) and lay
    ``overrides`` over it.

    ``overrides`` has dotted names, e.g. ``{"server.port": 0}``. Raises SetupError with each fault, one after the other.
    """
    config, faults = read_config_file(path, overrides)
    if config is None:
        raise SetupError("; ".join(faults))
    return config


def read_config_file(
    path: Path | None, overrides: dict[str, Any] | None = None
) -> tuple[Config | None, tuple[str, ...]]:
    """Return the configuration as ``load_config`` does, or None and its faults, none of which quotes a secret.

    Example: ``config, faults = read_config_file(Path("kvproxy.yaml"))``
    """
    read = SettingsFile() if path is None else read_settings_file(path)
    if read.faults:
        return None, read.faults
    for dotted, value in (overrides or {}).items():
        _lay_over(read.data, dotted.split("."), value)
    config, faults = validated(Config, read.data)
    told = [read.masked(_fault(*fault)) for fault in faults]
    return config, (f"{path or 'configuration'}: {told[0]}", *told[1:]) if told else ()


def _lay_over(data: dict[str, Any], names: list[str], value: Any) -> None:
    """Set one dotted name. A parent that is no mapping is left unchanged, and validation refuses it."""
    section: Any = data
    for parent in names[:-1]:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            return
    section[names[-1]] = value


def _fault(path: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(str(x) for x in path) or 'config'}: {message}"
