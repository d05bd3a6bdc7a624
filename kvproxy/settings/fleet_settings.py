"""`FleetSettings`: a model that replicas of an existing engine serve, vLLM's or SGLang's."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from kvproxy.settings.section import Section

FleetIsolation = Literal["shared", "strict"]
"""``shared``: readers of one public document share its blocks, and with them those of what follows it. ``strict``:
every tenant has its own blocks, a public document's included."""


def _off(value: object) -> object:
    """Read YAML's ``off``, which is false there."""
    return "off" if value is False else value


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"'{url}' is no replica's address; write http://host:8000, without /v1 at the end")
    return url.rstrip("/").removesuffix("/v1")


def _checked_socket(endpoint: str) -> str:
    if re.fullmatch(r"tcp://.+:\d{1,5}|ipc://.+", endpoint) is None:
        raise ValueError(
            f"'{endpoint}' is no socket of KV events; write tcp://host:5557 or ipc:///run/kv-events"
        )
    return endpoint


Socket = Annotated[str, AfterValidator(_checked_socket)]
"""A ZMQ endpoint: ``tcp://host:5557``, ``ipc:///run/kv-events``."""


class ReplicaSettings(Section):
    """One replica: its address, key, share of the requests, and the sockets of its KV events."""

    url: str
    """``http://host:8000``, without ``/v1``."""
    name: str | None = None
    """Its name in metrics and ``docs show``; None: host and port."""
    api_key: str | None = Field(default=None, repr=False)
    """The key that it asks for."""
    weight: float = Field(default=1.0, gt=0, le=1000)
    """Its share of the requests, beside the others'."""
    events: Socket | None = None
    """The ZMQ socket that it binds for its events, ``tcp://host:5557``; None: what ``/kv_event_sources`` tells."""
    replay: Socket | None = None
    """The ZMQ socket that answers with events that were missed."""

    @model_validator(mode="before")
    @classmethod
    def _bare_url(cls, data: object) -> object:
        return {"url": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _has_address(self) -> ReplicaSettings:
        _checked_url(self.url)
        return self

    @property
    def address(self) -> str:
        """The URL without a slash or ``/v1`` at its end."""
        return _checked_url(self.url)

    @property
    def shown_name(self) -> str:
        """The name in metrics and listings."""
        return self.name or urlsplit(self.url).netloc


class DnsReplicaSettings(Section):
    """Replicas behind one host name: each of its addresses is one."""

    host: str = Field(min_length=1)
    """The name that is looked up, such as a headless service's."""
    port: int = Field(default=8000, ge=1, le=65535)
    """Of every replica."""
    scheme: Literal["http", "https"] = "http"
    """Of every replica."""
    api_key: str | None = Field(default=None, repr=False)
    """The key that they ask for."""
    events_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of their KV events; None: what ``/kv_event_sources`` tells."""
    replay_port: int | None = Field(default=None, ge=1, le=65535)
    """The port that answers with events that were missed."""
    refresh_s: float = Field(default=10.0, gt=0)
    """Seconds between two look-ups; a healthy replica leaves with the third answer in a row that lacks it."""


class FleetCopies(Section):
    """The number of replicas that a published document is prefilled on, by its readers."""

    least: int = Field(default=1, ge=1)
    """Copies of a document that is hardly read."""
    most: int = Field(default=4, ge=1)
    """Copies at most."""
    reads_per_minute: float = Field(default=60.0, gt=0)
    """Reads a minute that one more copy is made for."""

    @model_validator(mode="after")
    def _ordered(self) -> FleetCopies:
        if self.most < self.least:
            raise ValueError(f"most ({self.most}) is below least ({self.least})")
        return self


class FleetSettings(Section):
    """One fleet: the model's name here, its tokenizer, its replicas, and how requests are spread over them."""

    name: str = Field(min_length=1)
    """The model's name in requests to this proxy."""
    model: str
    """A folder or hub name with tokenizer and chat template; weights are not loaded."""
    revision: str | None = None
    """Of a hub model."""
    served_as: str | None = None
    """The model's name at the replicas; None: the one that they list first."""
    kind: Literal["vllm", "sglang"] = "vllm"
    """The engine of the replicas."""
    replicas: tuple[ReplicaSettings, ...] = ()
    """The replicas, as sections or as bare addresses."""
    dns: DnsReplicaSettings | None = None
    """Instead, and besides: each address of a host name is a replica."""
    router: bool = False
    """True where the addresses are routers, which choose the replica by ``x-session-id``: no residency is known."""
    max_context: int | None = Field(default=None, ge=256)
    """Positions; None: the least of what the replicas have."""
    events: Annotated[Literal["auto", "off", "bind"], BeforeValidator(_off)] = "auto"
    """``auto``: connect to each replica's socket; ``bind``: replicas connect to ``events_bind``; ``off``: none, and
    residency is what ``cached_tokens`` told."""
    events_bind: Socket | None = None
    """The socket that this proxy binds for events: ``tcp://10.0.0.5:44300``."""
    hash_seed: str | None = None
    """PYTHONHASHSEED of the replicas, where they have one."""
    isolation: FleetIsolation = "shared"
    """``shared``: readers of one public document share its blocks; ``strict``: every tenant has its own."""
    bounded_load: float = Field(default=1.25, ge=1, le=100)
    """The most that a replica may have to do, as a multiple of the mean, before its documents spread."""
    copies: FleetCopies = FleetCopies()
    timeout_s: float = Field(default=600.0, gt=0)
    """Seconds that an answer may take."""
    connect_timeout_s: float = Field(default=2.0, gt=0)
    """Seconds that a connection to a replica may take."""
    most_at_once: int = Field(default=1024, ge=1)
    """Requests that run or wait at all replicas together; further ones get 429."""
    audit: float = Field(default=0.0, ge=0, le=1)
    """Share of the hits that are compared with a forced cold read in idle time."""
    lmcache: str | None = None
    """The address of LMCache's coordinator, ``http://host:9300``, for pins and prefetches."""
    require_same_template: bool = True
    """Refuse replicas whose tokens of test conversations differ from this proxy's own."""

    @field_validator("lmcache")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
            raise ValueError(f"'{url}' is no coordinator's address; write http://host:9300")
        return url

    @model_validator(mode="after")
    def _has_replicas(self) -> FleetSettings:
        if not self.replicas and self.dns is None:
            raise ValueError(f"fleet '{self.name}' has no replicas; list their addresses, or set dns")
        names = [replica.shown_name for replica in self.replicas]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"fleet '{self.name}' has two replicas named '{twice}'; give each its own name")
        if self.audit > 0 and self.kind == "sglang":
            raise ValueError(
                "audit: SGLang's completions do not name their tokens, so answers cannot be compared"
            )
        if (self.events == "bind") != (self.events_bind is not None):
            raise ValueError(
                "events: bind and events_bind, the address that replicas connect to, need each other"
            )
        return self

    @model_validator(mode="after")
    def _events_before_replays(self) -> FleetSettings:
        lone = next((r.shown_name for r in self.replicas if r.replay and not r.events), None)
        if lone is not None and self.events != "bind":
            raise ValueError(
                f"the replica '{lone}' has replay and no events; set both, or neither: it tells them"
            )
        if (
            self.dns is not None
            and self.dns.replay_port
            and not self.dns.events_port
            and self.events != "bind"
        ):
            raise ValueError(
                "dns has replay_port and no events_port; set both, or neither: replicas tell them"
            )
        return self
