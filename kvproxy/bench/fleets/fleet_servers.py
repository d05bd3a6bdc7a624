"""Processes of a fleet on one machine: proxies without a local model, and fake replicas."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kvproxy.accounts.key_hash import SECRET_NAME
from kvproxy.bench.private_postgres import free_port
from kvproxy.bench.server_process import Child, announced
from kvproxy.bench.vllm_server import answers

KEY = "sk-kvproxy-fleet-0001"


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """A proxy that serves one model, from replicas."""

    served_name: str
    model: Path
    """A folder with tokenizer and chat template."""
    replicas: Sequence[str]
    """Their base URLs; the first is named ``replica-0``."""
    database: str | None = None
    """A ``database.url``; None: SQLite of its own."""
    fleet: Mapping[str, Any] = field(default_factory=dict)
    """More settings of the fleet."""
    secret: bytes | None = None
    """32 bytes that proxies of one database share: keys and cache salts hang on them. None: one of its own."""


def proxy_config(plan: ProxyPlan, store: Path) -> dict[str, Any]:
    """Return the settings file of a proxy on a free port of loopback.

    Example: ``proxy_config(ProxyPlan("smollm2", folder, ["http://127.0.0.1:8000"]), Path("store"))``
    """
    replicas = [{"url": url, "name": f"replica-{number}"} for number, url in enumerate(plan.replicas)]
    fleet = {"name": plan.served_name, "model": str(plan.model), "replicas": replicas, **plan.fleet}
    scopes = ["read", "publish", "ledger", "metrics", "admin"]
    config: dict[str, Any] = {
        "server": {"port": 0, "api_keys": [{"name": "fleet", "key": KEY, "scopes": scopes}]},
        "store": {"path": str(store)},
        "fleets": [fleet],
        # Texts stand in system messages here; other framings would be prefilled and take room for nobody.
        "documents": {"framings": [{"place": "system"}]},
    }
    if plan.database is not None:
        config["database"] = {"url": plan.database}
    return config


def fleet_proxy(name: str, plan: ProxyPlan, folder: Path) -> Child:
    """Make ``kvproxy serve`` for ``plan``, with its files below ``folder``.

    Example: ``with fleet_proxy("proxy-a", plan, folder) as proxy: print(proxy.url)``
    """
    file, url = folder / f"{name}.yaml", folder / f"{name}.url"
    file.write_text(yaml.safe_dump(proxy_config(plan, folder / name)), encoding="utf-8")
    if plan.secret is not None:
        _write_secret(folder / name, plan.secret)
    command = (sys.executable, "-m", "kvproxy", "serve", "--config", str(file), "--announce-file", str(url))
    return Child(name, command, announced(url), folder, own_group=True)


def _write_secret(store: Path, secret: bytes) -> None:
    store.mkdir()
    with os.fdopen(os.open(store / SECRET_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)


@dataclass(frozen=True, slots=True)
class FakePlan:
    """The size and speed of a fake replica."""

    served_name: str
    model: Path
    """A folder with tokenizer and chat template."""
    blocks: int
    block_tokens: int = 32
    prefill_tokens_per_s: float | None = 600.0
    """None: computing takes no time."""
    decode_s: float = 0.03
    most_at_once: int = 16


def fake_server_process(name: str, plan: FakePlan, folder: Path) -> Child:
    """Make a fake replica in a process of its own.

    Example: ``with fake_server_process("replica-0", plan, folder) as replica: print(replica.url)``
    """
    http = free_port()
    url = f"http://127.0.0.1:{http}"
    command = [sys.executable, "-m", "kvproxy.fake_replica", "--port", str(http)]
    command += ["--tokenizer", str(plan.model), "--model", plan.served_name]
    command += ["--blocks", str(plan.blocks), "--block-size", str(plan.block_tokens)]
    command += ["--max-num-seqs", str(plan.most_at_once), "--decode-s", str(plan.decode_s)]
    if plan.prefill_tokens_per_s is not None:
        command += ["--prefill-tokens-per-s", str(plan.prefill_tokens_per_s)]
    return Child(name, command, lambda: url if answers(f"{url}/health") else None, folder, own_group=True)
