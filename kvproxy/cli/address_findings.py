"""Examination of the addresses that a configuration names: upstreams, the hub, and the replicas of fleets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kvproxy.errors import SetupError
from kvproxy.terminal.finding import Finding

if TYPE_CHECKING:
    from kvproxy.settings.fleet_settings import DnsReplicaSettings, FleetSettings

_CONNECT_S = 3.0


def hub_finding(model: str, fault: str | None) -> Finding:
    """Report whether the model's files are here, or can be fetched."""
    if fault is None:
        return Finding("warn", "model", f"{model} is not on this machine", "the first start downloads it")
    advice = "set HF_HOME to a cache that has it, give a folder's path, or use --model smollm2-135m"
    return Finding("fail", "model", f"{model} is not here and the hub is not reachable: {fault}", advice)


def hub_fault() -> str | None:
    """Return why the model hub cannot be reached; None where it can."""
    url = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    return _fault(url.hostname or "huggingface.co", url.port or 443)


def upstream_finding(name: str, params: dict[str, Any]) -> Finding:
    """Report whether an upstream answers.

    Example: ``upstream_finding("big", {"model": "openai/x", "api_base": "http://gpu-box:8000/v1"})``
    """
    check = f"upstream {name}"
    base = params.get("api_base") or params.get("base_url")
    if not base:
        return Finding("ok", check, f"{params['model']}: its provider's own address, not tried")
    url = urlsplit(str(base))
    if not url.hostname:
        return Finding("fail", check, f"api_base {base} is no URL", "write it like http://host:8000/v1")
    address = url.hostname, url.port or (443 if url.scheme == "https" else 80)
    fault = _fault(*address)
    if fault is None:
        return Finding("ok", check, f"{address[0]}:{address[1]} accepts connections")
    return Finding("fail", check, f"{address[0]}:{address[1]}: {fault}", "start it, or correct its api_base")


def fleet_findings(fleet: FleetSettings, cache_dir: Path) -> Iterator[Finding]:
    """Report whether a fleet's tokenizer is here, and which of its replicas accept connections. What they serve is
    compared by the server, whenever they come up.

    Example: ``list(fleet_findings(config.fleets[0], default_cache_dir()))``
    """
    check = f"fleet {fleet.name}"
    yield _tokenizer_finding(check, fleet, cache_dir)
    for replica in fleet.replicas:
        url = urlsplit(replica.address)
        port = url.port or (443 if url.scheme == "https" else 80)
        yield _replica_finding(check, replica.shown_name, _fault(url.hostname or "", port))
    if fleet.dns is not None:
        yield _name_finding(check, fleet.dns)


def _tokenizer_finding(check: str, fleet: FleetSettings, cache_dir: Path) -> Finding:
    from kvproxy.engine.models.text_folder import resolve_texts, text_download

    away: list[str] = []

    def on_disk(repo: str, revision: str | None, _: bool) -> Path:
        away.append(repo)
        return text_download(repo, revision, True)

    try:
        resolve_texts(fleet.model, revision=fleet.revision, cache_dir=cache_dir, download=on_disk)
    except SetupError as e:
        if away and hub_fault() is None:
            what = f"the tokenizer of {fleet.model} is not on this machine"
            return Finding("warn", check, what, "the first start downloads it")
        return Finding("fail", check, e.message, f"correct the model of fleet '{fleet.name}'")
    return Finding("ok", check, f"the tokenizer of {fleet.model} is here")


def _replica_finding(check: str, name: str, fault: str | None) -> Finding:
    if fault is None:
        return Finding("ok", check, f"{name} accepts connections")
    return Finding("fail", check, f"{name}: {fault}", "start it, or correct its url")


def _name_finding(check: str, dns: DnsReplicaSettings) -> Finding:
    try:
        found = {str(at[4][0]) for at in socket.getaddrinfo(dns.host, dns.port, type=socket.SOCK_STREAM)}
    except OSError as e:
        return Finding("fail", check, f"{dns.host}: {e.strerror or e}", "correct dns.host")
    return Finding("ok", check, f"{dns.host} has {len(found)} address{'es' if len(found) > 1 else ''}")


def _fault(host: str, port: int) -> str | None:
    """None when a connection is accepted, else the reason."""
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError as e:
        return str(e.strerror or e)
    return None
