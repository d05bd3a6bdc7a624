"""The chart: its values against its schema, and, slow, what a real helm makes of it against Kubernetes' own schemas."""

from __future__ import annotations

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from kvproxy.config import Config, load_config
from tests.deploy.dockerfile import ROOT
from tests.settings.secret_settings import LISTS, LITERALS

CHART = ROOT / "deploy" / "helm" / "kvproxy"
HELM = ROOT / ".deploy-tools" / "bin" / "helm"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
KUBERNETES = ("1.30", "1.35")
SECRETS = "/run/secrets/kvproxy"
FULL: dict[str, Any] = {
    "image": {"repository": "example/kvproxy"},
    "config": {
        "server": {
            "api_keys": [{"name": "reader", "key": f"${{file:{SECRETS}/reader}}", "scopes": ["read"]}]
        },
        "database": {"url": "postgresql+psycopg://kvproxy@db/kvproxy", "password": f"${{file:{SECRETS}/db}}"},
    },
    "secrets": {
        "files": [
            {"name": "reader", "secret": "kvproxy", "key": "reader"},
            {"name": "db", "secret": "kvproxy", "key": "database_password"},
        ],
        "env": [{"name": "AWS_SECRET_ACCESS_KEY", "secret": "s3", "key": "secret"}],
        "identity": "kvproxy-identity",
    },
    "fleet": {
        "config": {
            "fleets": [
                {"name": "qwen3-8b", "model": "Qwen/Qwen3-8B", "dns": {"host": "vllm", "events_port": 5557}}
            ]
        },
        "autoscaling": {"enabled": True},
    },
    "engine": {"enabled": True, "gpus": 1, "config": {"model": {"path": "smollm2-135m"}}},
    "ingress": {"enabled": True, "host": "kv.example.com", "tlsSecret": "kv-tls"},
    "metrics": {
        "serviceMonitor": {"enabled": True, "bearerTokenSecret": {"name": "kvproxy", "key": "metrics"}},
        "prometheusRule": {"enabled": True},
    },
}
LITTLE: dict[str, Any] = {
    "image": FULL["image"],
    "fleet": {"enabled": False},
    "engine": {"enabled": True, "config": {"model": {"path": "smollm2-135m"}}},
}


def changed(values: dict[str, Any], dotted: str, value: object) -> dict[str, Any]:
    """A copy with one value of another kind."""
    result = copy.deepcopy(values)
    *parents, last = dotted.split(".")
    section = result
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    return result


def test_the_defaults_and_the_examples_fit_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for values in (VALUES, FULL, LITTLE):
        jsonschema.validate(values, SCHEMA, jsonschema.Draft202012Validator)


def test_its_rules_are_those_of_deploy_observability() -> None:
    own = (CHART / "alerts.yaml").read_text(encoding="utf-8")
    rules = (ROOT / "deploy" / "observability" / "alerts.yaml").read_text(encoding="utf-8")
    assert own == rules, "run: python -m deploy.docs.write_pages"
    assert not [path for path in CHART.rglob("*") if path.is_symlink()], "no archive need keep a link"


def test_the_schema_names_every_value() -> None:
    def same(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> None:
        named = set(schema["properties"]) - {"global"}
        assert set(values) == named or (path == ".probes" or path.startswith(".probes.")), path
        for name, value in values.items():
            inner = schema["properties"][name]
            if isinstance(value, dict) and inner.get("additionalProperties") is False:
                same(value, inner, f"{path}.{name}")

    same(VALUES, SCHEMA)


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("config.server.metrics_key", "a-secret-written-out"),
        ("config.server.api_keys", [{"name": "a", "key": "a-secret-written-out"}]),
        ("config.database.password", "a-secret-written-out"),
        ("config.database.url", "postgresql+psycopg://kvproxy:written-out@db/kvproxy"),
        ("config.store.encryption_keys", ["A" * 44]),
        ("config.store.objects", {"options": {"secret_access_key": "written-out"}}),
        ("config.store.path", "/somewhere/else"),
        ("config.server.port", 80),
        ("fleet.config.fleets", [{"name": "f", "replicas": [{"url": "http://a", "api_key": "written-out"}]}]),
        ("config.upstreams", [{"name": "u", "params": {"model": "openai/u", "api_key": "written-out"}}]),
        ("config.dashboard.secret", "a-secret-written-out"),
        ("config.telemetry", {"headers": {"Authorization": "Bearer written-out"}}),
        ("config.store.objects", {"options": {"access_key": "written-out"}}),
        (
            "config.upstreams",
            [{"name": "u", "params": {"model": "bedrock/u", "aws_secret_access_key": "out"}}],
        ),
        (
            "config.upstreams",
            [{"name": "u", "params": {"model": "u", "extra_headers": {"x-api-key": "out"}}}],
        ),
        ("fleet.replica", 2),
        ("networkPolicy.replicas.podSelector", {}),
        ("ingress.component", "both"),
    ],
)
def test_values_that_would_leak_or_fail_are_refused(dotted: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(FULL, dotted, value), SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", LITERALS)
@pytest.mark.parametrize("component", ["config", "fleet.config", "engine.config"])
def test_no_secret_is_written_out(name: str, component: str) -> None:
    """Of every setting that may be one: a new one fails here until the schema knows it."""
    section, value = LITERALS[name]
    listed = [value] if section in LISTS else value
    with pytest.raises(jsonschema.ValidationError, match=r"is not valid|does not match|should not be valid"):
        jsonschema.validate(
            changed(LITTLE, f"{component}.{section}", listed), SCHEMA, jsonschema.Draft202012Validator
        )


def test_references_are_taken_where_secrets_are_not() -> None:
    given = "${file:/run/secrets/kvproxy/x}"
    sections = {
        "telemetry": {"headers": {"authorization": f"Bearer {given}", "x-scope": "team-a"}},
        "store": {
            "objects": {"options": {"secret_access_key": given, "access_key_id": "me", "region": "eu"}}
        },
        "upstreams": [{"name": "u", "params": {"model": "u", "aws_access_key_id": "me", "api_key": given}}],
        "dashboard": {"secret": given},
    }
    values = copy.deepcopy(LITTLE)
    values["config"] = sections
    jsonschema.validate(values, SCHEMA, jsonschema.Draft202012Validator)


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = subprocess.run(
        [HELM, "template", "kv", CHART, "--namespace", "models", "--values", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(found: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one["spec"]["template"] for one in found if one["kind"] in ("Deployment", "StatefulSet")]


def settings(map_: dict[str, Any], folder: Path) -> Config:
    """The settings of a ConfigMap, read as a proxy reads them."""
    for name in ("reader", "db"):
        (folder / name).write_text("a-secret-of-sixteen\n")
    file = folder / "kvproxy.yaml"
    file.write_text(map_["data"]["kvproxy.yaml"].replace(SECRETS, str(folder)))
    return load_config(file)


@pytest.mark.slow
@pytest.mark.parametrize("values", [FULL, LITTLE], ids=["full", "little"])
def test_kubernetes_takes_what_helm_makes(tmp_path: Path, values: dict[str, Any]) -> None:
    found = rendered(values, tmp_path)
    assert len(found) == (16 if values is FULL else 7)
    for one in found:
        if not one["apiVersion"].startswith("monitoring.coreos.com/"):
            for version in KUBERNETES:
                kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.slow
def test_helm_lints_it(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(FULL))
    done = subprocess.run(
        [HELM, "lint", "--strict", CHART, "--values", tmp_path / "values.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_pods_can_do_no_more_than_they_need(tmp_path: Path) -> None:
    for pod in pods(found := rendered(FULL, tmp_path)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsUser"] == 10001 and spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec["containers"], *spec["initContainers"]):
            held = container["securityContext"]
            assert held["readOnlyRootFilesystem"] and not held["allowPrivilegeEscalation"]
            assert held["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
        [proxy] = spec["containers"]
        probes = {
            name: proxy[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
        }
        assert probes == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
        assert spec["terminationGracePeriodSeconds"] > 30 + int(
            proxy["lifecycle"]["preStop"]["exec"]["command"][1]
        )
    assert [one["automountServiceAccountToken"] for one in of_kind(found, "ServiceAccount").values()] == [
        False
    ]


@pytest.mark.slow
def test_settings_are_read_and_hold_no_secret(tmp_path: Path) -> None:
    maps = of_kind(found := rendered(FULL, tmp_path), "ConfigMap")
    fleet, engine = (settings(maps[f"kv-kvproxy-{name}"], tmp_path) for name in ("fleet", "engine"))
    assert (fleet.serves_local, engine.serves_local) == (False, True)
    assert fleet.database.address == "postgresql+psycopg://kvproxy:a-secret-of-sixteen@db/kvproxy"
    assert (fleet.server.host, fleet.server.port) == ("0.0.0.0", 8321)
    assert not [one for one in found if one["kind"] == "Secret"]
    mounted = {
        item["path"]
        for volume in pods(found)[0]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in source["secret"]["items"]
    }
    assert mounted == {"reader", "db"}


@pytest.mark.slow
def test_only_proxies_reach_the_replicas(tmp_path: Path) -> None:
    policies = of_kind(rendered(FULL, tmp_path), "NetworkPolicy")
    replicas = policies["kv-kvproxy-replicas"]["spec"]
    assert replicas["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "vllm"}}
    [rule] = replicas["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "fleet"
    assert {port["port"] for port in rule["ports"]} == {8000, 5557, 5558}
    assert [port["port"] for port in policies["kv-kvproxy"]["spec"]["ingress"][0]["ports"]] == [8321]


@pytest.mark.slow
def test_it_is_watched_by_the_rules_of_deploy_observability(tmp_path: Path) -> None:
    found = rendered(FULL, tmp_path)
    [rule] = of_kind(found, "PrometheusRule").values()
    rules = yaml.safe_load((ROOT / "deploy" / "observability" / "alerts.yaml").read_text(encoding="utf-8"))
    assert rule["spec"] == rules
    [monitor] = of_kind(found, "ServiceMonitor").values()
    labels = [one["metadata"]["labels"] for one in of_kind(found, "Service").values()]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    scraped = [one for one in labels if wanted.items() <= one.items() and "kvproxy/pods" not in one]
    assert len(labels) == 3 and len(scraped) == 2
    assert {one[monitor["spec"]["jobLabel"]] for one in scraped} == {"kvproxy"}


@pytest.mark.slow
def test_an_engine_keeps_its_store_and_a_fleets_proxy_does_not(tmp_path: Path) -> None:
    found = rendered(FULL, tmp_path)
    [engine] = of_kind(found, "StatefulSet").values()
    assert [claim["metadata"]["name"] for claim in engine["spec"]["volumeClaimTemplates"]] == ["store"]
    assert engine["spec"]["serviceName"] in of_kind(found, "Service")
    [image] = {one["image"] for one in engine["spec"]["template"]["spec"]["containers"]}
    assert image.endswith("-cuda")
    [fleet] = of_kind(found, "Deployment").values()
    assert "replicas" not in fleet["spec"]  # the autoscaler's
    assert "store" in {v["name"] for v in fleet["spec"]["template"]["spec"]["volumes"] if "emptyDir" in v}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dotted", "value", "told"),
    [
        ("config.database", {}, "PostgreSQL"),
        ("secrets.identity", "", "needs secrets.identity"),
        ("fleet.config", {}, "needs fleet.config.fleets"),
        ("engine.config", {}, "needs engine.config.model"),
        ("terminationGracePeriodSeconds", 35, "must be above"),
        ("config.server.drain_timeout_s", 120, "must be above"),
        ("image.repository", "", "build the image"),
        ("config.server.metrics_key", "written-out-0123456", "does not match pattern"),
    ],
)
def test_values_that_would_fail_later_are_refused_by_helm(
    tmp_path: Path, dotted: str, value: object, told: str
) -> None:
    with pytest.raises(AssertionError, match=told):
        rendered(changed(FULL, dotted, value), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("values", [FULL, LITTLE], ids=["full", "little"])
def test_its_notes_name_what_is_missing(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(changed(values, "fleet.replicas", 2)))
    done = subprocess.run(
        [HELM, "install", "kv", CHART, "--dry-run=client", "--values", tmp_path / "values.yaml"],
        capture_output=True,
        text=True,
        check=True,
    )
    notes = done.stdout.partition("NOTES:")[2]
    assert "config check" in notes and "http://127.0.0.1:8321/" in notes
    assert ("no API keys" in notes) is (values is LITTLE)
    assert ("dashboard.secret is empty" in notes) is (values is FULL)
