"""The compose file of a fleet: what it names exists, its proxies' settings load, its replicas have the flags needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvproxy.config import Config, load_config

FOLDER = Path(__file__).parents[2] / "deploy" / "fleet"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
REPLICAS = sorted(name for name in SERVICES if name.startswith("replica-"))
PROXIES = sorted(name for name in SERVICES if name.startswith("proxy-"))
MADE_BY_THE_READER = {"./identity/keys.secret"}
OF_OTHERS = {"replica-0", "replica-1"}
"""Services whose images write to their root."""
SCALE = (FOLDER.parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")


def mounts(service: str) -> dict[str, str]:
    """By path in the container: the volume or file that is there."""
    return {entry.split(":")[1]: entry.split(":")[0] for entry in SERVICES[service].get("volumes", ())}


def settings(proxy: str, folder: Path) -> Config:
    """A proxy's settings, with the secrets that compose mounts for it: made here, in ``folder``."""
    secrets = folder / f"secrets-{proxy}"
    secrets.mkdir(exist_ok=True)
    for name in SERVICES[proxy]["secrets"]:
        (secrets / name).write_text(f"a-secret-of-sixteen-{name}\n")
    text = (FOLDER / mounts(proxy)["/etc/kvproxy/kvproxy.yaml"]).read_text(encoding="utf-8")
    (folder / f"{proxy}.yaml").write_text(text.replace("/run/secrets", str(secrets)), encoding="utf-8")
    return load_config(folder / f"{proxy}.yaml")


def flags(replica: str) -> dict[str, str]:
    return {name: value for name, _, value in (flag.partition("=") for flag in SERVICES[replica]["command"])}


def test_it_has_two_replicas_two_proxies_a_database_a_front_and_what_watches_them() -> None:
    running = [name for name, service in SERVICES.items() if "profiles" not in service]
    assert running == [
        *("replica-0", "replica-1", "database", "proxy-a", "proxy-b", "front", "prometheus", "grafana")
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_exists(name: str) -> None:
    service = SERVICES[name]
    needed = service.get("depends_on", ())
    assert set(needed) <= set(SERVICES)
    if isinstance(needed, dict):
        awaited = [other for other, how in needed.items() if how["condition"] == "service_healthy"]
        assert all("healthcheck" in SERVICES[other] for other in awaited)
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    for source in mounts(name).values():
        if source not in MADE_BY_THE_READER:
            assert (FOLDER / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]
    built = service.get("build")
    assert "image" in service
    assert built is None or (FOLDER / built["context"] / built["dockerfile"]).is_file()


def test_only_the_front_can_be_reached_from_outside() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"front": ["8321:8321"], "grafana": ["127.0.0.1:3000:3000"]}
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == set(ports)


def test_the_replicas_and_their_events_are_reached_by_proxies_alone() -> None:
    there = {name for name, service in SERVICES.items() if "replicas" in service["networks"]}
    assert there == {*REPLICAS, *PROXIES}
    assert all(SERVICES[name]["networks"] == ["replicas"] for name in REPLICAS)
    assert [name for name, net in COMPOSE["networks"].items() if not net.get("internal")] == [
        *("replicas", "outside")
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service and "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name not in OF_OTHERS)
    assert re.fullmatch(r"\d+[GM]", service["deploy"]["resources"]["limits"]["memory"])
    assert ":" in service["image"] and not service["image"].endswith(":latest")
    if name in PROXIES:
        assert service["user"] == "10001:10001"


def test_it_is_what_the_compose_specification_allows() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"),
            str(FOLDER / "compose.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    for name in ("make-secrets.sh",):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "chown").write_text("#!/bin/sh\n")  # only root may give files away
    (tmp_path / "chown").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([tmp_path / "make-secrets.sh"], env=path, check=True)
    made = {f"./{file.relative_to(tmp_path)}": file.read_bytes() for file in tmp_path.glob("*/*")}
    assert set(made) == {one["file"] for one in COMPOSE["secrets"].values()} | MADE_BY_THE_READER
    assert len(made["./identity/keys.secret"]) == 32 and all(len(made[name]) >= 32 for name in made)
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700 for name in ("secrets", "identity"))
    subprocess.run([tmp_path / "make-secrets.sh"], env=path, check=True)
    assert {name: (tmp_path / name).read_bytes() for name in made} == made
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert {f"{Path(name).parent}/" for name in made} == set(ignored)


def test_prometheus_asks_every_proxy_with_its_key() -> None:
    read = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    [job] = read["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["proxy-a:8321", "proxy-b:8321"]}]
    assert job["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    assert "metrics_key" in SERVICES["prometheus"]["secrets"]
    assert set(read["rule_files"]) <= set(mounts("prometheus"))


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    sources = yaml.safe_load((FOLDER / "grafana-datasources.yaml").read_text(encoding="utf-8"))
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((FOLDER / "grafana-dashboards.yaml").read_text(encoding="utf-8"))["providers"]
    assert any(path.startswith(provider["options"]["path"] + "/") for path in mounts("grafana"))


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxys_settings_load_and_name_services(proxy: str, tmp_path: Path) -> None:
    config = settings(proxy, tmp_path)
    (fleet,) = config.fleets
    assert [one.address for one in fleet.replicas] == [f"http://{replica}:8000" for replica in REPLICAS]
    assert config.serves_local == (proxy == "proxy-local")
    assert ":a-secret-of-sixteen-database_password@database/" in str(config.database.address)
    assert mounts(proxy)[str(config.store.path)].startswith("proxy-")
    assert f"{config.store.path}/keys.secret" in mounts(proxy)
    if config.store.objects.url is not None:
        assert config.store.objects.options["endpoint"] == "http://pages:9000"
        assert "pages-bucket" in SERVICES[proxy]["depends_on"]


def test_proxies_of_one_fleet_have_stores_of_their_own() -> None:
    stores = [mounts(proxy)["/var/lib/kvproxy"] for proxy in PROXIES]
    assert len(set(stores)) == len(PROXIES) == 3


def test_proxies_of_one_ledger_sign_as_one_host(tmp_path: Path) -> None:
    assert {mounts(proxy).get("/var/lib/kvproxy/host-keys") for proxy in PROXIES} == {"host-keys"}
    assert {settings(proxy, tmp_path).host.name for proxy in PROXIES} == {"kvproxy-fleet"}


@pytest.mark.parametrize("replica", REPLICAS)
def test_a_replica_has_what_the_proxies_need(replica: str, tmp_path: Path) -> None:
    (fleet,) = settings("proxy-a", tmp_path).fleets
    given = flags(replica)
    assert (given["--model"], given["--served-model-name"]) == (fleet.model, fleet.name)
    events = json.loads(given["--kv-events-config"])
    told = re.search(r"--kv-events-config '(\{.*\})'", SCALE)
    assert told is not None
    assert events == json.loads(told[1])
    written = set(re.findall(r"--[a-z][a-z-]+", SCALE.partition("vllm serve")[2].partition("```")[0]))
    assert written - {"--served-model-name", "--max-model-len"} <= set(given)


def test_replicas_have_gpus_of_their_own() -> None:
    devices = [
        SERVICES[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name in REPLICAS
    ]
    assert devices == [["0"], ["1"]]


def test_a_session_of_one_proxy_is_one_of_the_others(tmp_path: Path) -> None:
    secrets = {settings(proxy, tmp_path).dashboard.secret for proxy in PROXIES}
    assert secrets == {"a-secret-of-sixteen-dashboard_secret"}
    # With its port: a form's Origin is compared with the Host that its proxy sees.
    assert "proxy_set_header Host $http_host;" in (FOLDER / "nginx.conf").read_text(encoding="utf-8")


def test_the_front_knows_the_proxies_and_does_not_buffer() -> None:
    text = (FOLDER / "nginx.conf").read_text(encoding="utf-8")
    assert re.findall(r"server (proxy-[a-z]+):8321", text) == ["proxy-a", "proxy-b"]
    assert "proxy_buffering off;" in text
    assert "non_idempotent" not in text  # what one proxy has begun must not be charged by another
