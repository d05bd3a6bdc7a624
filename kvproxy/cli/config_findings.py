"""Examination of a configuration before anything starts: faults, missing files and packages, exposed secrets, settings
that contradict each other or count for nothing. No finding quotes a secret."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kvproxy.cli.port_findings import listen_finding
from kvproxy.cli.store_access_findings import store_access_findings
from kvproxy.config import Config, read_config_file
from kvproxy.errors import KVProxyError
from kvproxy.settings.settings_file import SettingsFile, read_settings_file
from kvproxy.terminal.finding import Finding

if TYPE_CHECKING:
    from kvproxy.settings.fleet_settings import FleetSettings

_SECRET = re.compile(r"key|token|secret|password|credential|authorization|cookie", re.IGNORECASE)
_NO_SECRET = re.compile(r"access_key_id|key_?path|_file$", re.IGNORECASE)


def config_findings(
    path: Path | None, overrides: Mapping[str, Any], *, offline: bool = False
) -> Iterator[Finding]:
    """Return the findings of the file ``path``, each as soon as it is known: the faults of the file alone where it has
    any. ``offline``: the database is not asked.

    Example: ``list(config_findings(Path("kvproxy.yaml"), {"store.path": "/var/lib/kvproxy"}))``
    """
    config, faults = read_config_file(path, dict(overrides))
    if config is None:
        yield from (Finding("fail", "config", fault) for fault in faults)
        return
    yield Finding("ok", "config", f"{path or 'defaults'} is right")
    if path is not None:
        yield from secret_findings(config, path, read_settings_file(path))
    yield from model_findings(config)
    yield from package_findings(config)
    yield from effect_findings(config)
    yield from _tariff_findings(config)
    yield from store_access_findings(config.store.path)
    yield listen_finding(config.server.host, config.server.port)
    if not offline:
        yield _database_finding(config)


def model_findings(config: Config) -> Iterator[Finding]:
    """Report which models are served, and a local one's folder or a trusted host's file that is not there."""
    if config.serves_local:
        path = Path(config.model.path).expanduser()
        if (path.is_absolute() or config.model.path.startswith(".")) and not path.exists():
            yield Finding("fail", "model", f"{config.model.path} does not exist", "correct model.path")
        else:
            computed = f"{config.model.served_name}, computed here from {config.model.path}"
            yield Finding("ok", "model", computed)
    for fleet in config.fleets:
        yield Finding("ok", "fleet", f"{fleet.name}, with the tokenizer of {fleet.model}, {_replicas(fleet)}")
    for host in config.documents.trusted_hosts:
        if "://" not in host.jwks and not Path(host.jwks).is_file():
            yield Finding("fail", "trusted host", f"{host.name}: {host.jwks} is no file", "correct jwks")


def secret_findings(config: Config, path: Path, file: SettingsFile) -> Iterator[Finding]:
    """Report secrets that others on this machine can read: files of references, and the settings file where it holds a
    secret itself.

    Example: ``list(secret_findings(config, path, read_settings_file(path)))``
    """
    for reference in file.values:
        holder = reference.path()
        if holder is not None and _open_to_others(holder):
            yield Finding(
                "warn", "secrets", f"{holder}: every user of this machine can read it", f"chmod o= '{holder}'"
            )
    literal = [
        name
        for name, value in secrets_of(config)
        if not any(known in value for known in file.values.values())
    ]
    if literal and _open_to_others(path):
        yield Finding(
            "warn",
            "secrets",
            f"{', '.join(literal)}: in {path} itself, which every user of this machine can read",
            f"write ${{NAME}} or ${{file:/path}} there, or chmod o= '{path}'",
        )


def secrets_of(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Return each secret of a section by its dotted name: the fields that are kept out of ``repr``, and what is named
    like one in the settings of another library.

    Example: ``[name for name, _ in secrets_of(config)]`` is ``["server.api_keys.0.key"]``
    """
    for name, field in type(section).model_fields.items():
        yield from _secrets_in(getattr(section, name), f"{prefix}{name}", hidden=not field.repr)


def _secrets_in(value: object, name: str, *, hidden: bool) -> Iterator[tuple[str, str]]:
    if isinstance(value, BaseModel):
        yield from secrets_of(value, f"{name}.")
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from _secrets_in(one, f"{name}.{number}", hidden=hidden)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            named = _SECRET.search(str(key)) is not None and _NO_SECRET.search(str(key)) is None
            yield from _secrets_in(one, f"{name}.{key}", hidden=named)
    elif (
        isinstance(value, str)
        and hidden
        and (name != "database.url" or re.search(r"://[^/@]*:[^/@]+@", value))
    ):
        yield name, value


def package_findings(config: Config) -> Iterator[Finding]:
    """Report extras of the package that the settings need and this installation lacks."""
    url = config.database.url or ""
    needed = (
        ("objects", "obstore", config.store.objects.url is not None),
        ("postgres", "psycopg", url.startswith(("postgresql:", "postgresql+psycopg:"))),
        ("x402", "x402", bool({"evm", "upto"} & set(config.payments.methods))),
        ("fleet", "zmq", any(fleet.events != "off" for fleet in config.fleets)),
        ("otel", "opentelemetry.sdk", config.telemetry.traces == "otlp"),
        ("otel", "opentelemetry.exporter.otlp.proto.http", config.telemetry.traces == "otlp"),
    )
    for extra, module, used in needed:
        if used and not _is_installed(module):
            yield Finding("fail", "packages", f"{module} is not installed", f"pip install 'kvproxy[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it is in
        return False


def effect_findings(config: Config) -> Iterator[Finding]:
    """Report settings that contradict each other, that count for nothing, or that leave the door open."""
    from kvproxy.cli.doctor import access_finding

    access = access_finding(config.server.host, keys=len(config.server.api_keys))
    if access.level != "ok":
        yield access
    for without, (told, advice) in _contradictions(config).items():
        yield Finding("warn", without, told, advice)


def _contradictions(config: Config) -> dict[str, tuple[str, str]]:
    server, objects, given = config.server, config.store.objects, config.model_fields_set
    found: dict[str, tuple[str, str]] = {}
    if server.metrics_key is not None and not server.metrics:
        found["server.metrics_key"] = ("counts for nothing: metrics is false", "set metrics: true")
    elif server.metrics_key is not None and server.metrics_key in {key.key for key in server.api_keys}:
        found["server.metrics_key"] = ("is an API key too", "give the scraper a key of its own")
    if "engine" in given and not config.serves_local:
        found["engine"] = ("counts for nothing: there are fleets alone", "leave it out, or add model")
    if "billing" in given and config.tariff is None:
        found["billing"] = ("counts for nothing: without a tariff requests are free", "set tariff")
    if config.payments.methods and config.tariff is None:
        found["payments"] = ("takes money for nothing: without a tariff requests are free", "set tariff")
    elif config.payments.facilitator == "local" and config.host.url is not None:
        found["payments.facilitator"] = ("local checks everything and moves no money", "name a facilitator")
    if config.telemetry.traces != "otlp" and (config.telemetry.endpoint or config.telemetry.headers):
        found["telemetry.endpoint"] = ("counts for nothing: spans are not exported", "set traces: otlp")
    if config.dashboard.enabled and config.dashboard.secret is None and _is_shared(config):
        found["dashboard.secret"] = (
            "is not set: people who log in at one of several proxies are not logged in at the others",
            "give all of them the same one",
        )
    if objects.url is None and (objects.acknowledge == "objects" or objects.options):
        found["store.objects"] = ("counts for nothing: it has no url", "set store.objects.url")
    return found


def _is_shared(config: Config) -> bool:
    """Whether other proxies may use the same database."""
    return (config.database.url or "").startswith("postgresql")


def _tariff_findings(config: Config) -> Iterator[Finding]:
    if config.tariff is None:
        return
    from kvproxy.stack.tariff_context import file_context
    from kvproxy.tariffs.tariff_file import read_tariff_file

    try:
        read = read_tariff_file(config.tariff, file_context(config, billed=True))
    except KVProxyError as e:
        yield Finding("fail", "tariff", e.message, "kvproxy tariff check names every price that it reads")
        return
    yield Finding("ok", "tariff", f"{config.tariff}, {len(read.entries)} entries")


def _database_finding(config: Config) -> Finding:
    from kvproxy.database.database import Database
    from kvproxy.database.migrate import schema_state

    try:
        file = Database.file(config.database.address, config.store.path)
        if file is not None and not file.exists():
            return Finding("ok", "database", f"{file} is made when the server starts")
        with Database.open(config.database.address, config.store.path) as database:
            state, shown = schema_state(database), database.url.render_as_string(hide_password=True)
    except KVProxyError as e:
        return Finding("fail", "database", e.message)
    if state.up_to_date:
        return Finding("ok", "database", f"{shown} has schema {state.current}")
    will = f"{shown} has schema {state.current or 'none'}; the server will bring it to {state.newest}"
    return Finding("ok", "database", will)


def _replicas(fleet: FleetSettings) -> str:
    listed = ", ".join(replica.shown_name for replica in fleet.replicas)
    dns = "" if fleet.dns is None else f"{fleet.dns.host}:{fleet.dns.port} by DNS"
    return f"at {' and '.join(part for part in (listed, dns) if part)}"


def _open_to_others(path: Path) -> bool:
    """Whether any user may read the file; folders above it may still bar them."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
