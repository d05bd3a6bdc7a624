"""Findings of ``kvproxy config check``: faults, settings without effect, secrets that others can read."""

from __future__ import annotations

import json
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from kvproxy.cli import config_findings
from kvproxy.cli.app import app
from kvproxy.config import Config, load_config

KEY = "hidden-0123456789"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.touch(mode=0o600)
    return path


def check(file: Path, *more: str) -> Result:
    return CliRunner().invoke(
        app, ["config", "check", "--config", str(file), "--store", str(file.parent / "store"), *more]
    )


def lines(result: Result, level: str) -> list[str]:
    assert KEY not in result.output
    return [line[5:] for line in result.stdout.splitlines() if line.startswith(level)]


def test_a_right_one_is_said_to_be_and_starts_nothing(file: Path) -> None:
    result = check(file)
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in lines(result, "ok")] == ["config", "model", "port", "database"]
    assert "is made when the server starts" in result.stdout
    assert not (file.parent / "store").exists()


def test_it_names_the_models(file: Path) -> None:
    file.write_text(
        "fleets: [{name: qwen, model: Qwen/Qwen3-32B, replicas: ['http://gpu-1:8000', 'http://gpu-2:8000']}]\n"
    )
    told = check(file).stdout
    assert "fleet: qwen, with the tokenizer of Qwen/Qwen3-32B, at gpu-1:8000, gpu-2:8000" in told
    assert "computed here" not in told
    file.write_text("fleets: [{name: qwen, model: m, dns: {host: vllm.svc}}]\nmodel: {path: smollm2-135m}\n")
    told = check(file).stdout
    assert "model: smollm2-135m, computed here" in told and "at vllm.svc:8000 by DNS" in told


def test_every_fault_has_a_line(file: Path) -> None:
    file.write_text(
        "databse: {}\nnothing-like-it: 1\n"
        "server: {prot: 1, port: -1, api_keys: [{nam: a, name: a, key: short}]}\n"
        "fleets: [{name: f, model: m, replicas: [{uri: 'http://a:1', url: 'http://a:1', weight: 0}]}]\n"
    )
    result = check(file)
    assert result.exit_code == 2
    told = lines(result, "fail")
    names = "unknown setting 'databse'; did you mean 'database'?; unknown setting 'nothing-like-it'; known"
    for part in (
        names,
        "server: unknown setting 'prot'; did you mean 'port'?",
        "fleets.0.replicas.0: unknown setting 'uri'; did you mean 'url'?",
        "server.api_keys.0: unknown setting 'nam'; did you mean 'name'?",
        "server.port: ",  # faults beside an unknown name
        "fleets.0.replicas.0.weight: ",
        "server.api_keys.0.key: ",
    ):
        assert [line for line in told if part in line], part
    assert len(told) == 7
    file.write_text(
        f"server: {{port: -1, host: [], metrics_key: '{KEY}', api_keys: [{{name: a, key: x}}]}}\n"
    )
    found = lines(check(file), "fail")
    assert [line.split(": ")[-2].split(".")[-1] for line in found] == ["host", "port", "key"]


def test_every_missing_secret_has_a_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file.write_text("host: {name: '${NO_SUCH_NAME}', contact: '${file:/no/such}', url: '${credential:x}'}\n")
    told = lines(check(file), "fail")
    assert [line.split("${")[1].split("}")[0] for line in told] == [
        "NO_SUCH_NAME",
        "file:/no/such",
        "credential:x",
    ]


def test_a_value_in_the_wrong_place_is_not_quoted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", KEY)
    file.write_text("server: {cors_origins: ['${K}']}\nstore: {objects: {url: '${K}'}}\n")
    told = lines(check(file), "fail")
    assert "cors_origins has '${K}'" in told[0] and "'${K}' is no store" in told[1]


def test_files_that_others_can_read(file: Path) -> None:
    secret = file.parent / "alice"
    secret.write_text(f"{KEY}\n")
    file.write_text(f"server: {{api_keys: [{{name: alice, key: '${{file:{secret}}}'}}]}}\n")
    secret.chmod(0o644)
    [told] = lines(check(file), "warn")
    assert told == f"secrets: {secret}: every user of this machine can read it; chmod o= '{secret}'"
    secret.chmod(0o640)
    assert lines(check(file), "warn") == []


def test_secrets_in_a_settings_file_that_others_can_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "another-0123456789")
    file.write_text(
        f"server: {{metrics_key: '{KEY}', api_keys: [{{name: a, key: '${{K}}'}}]}}\n"
        f"upstreams: [{{name: u, params: {{model: openai/u, api_key: {KEY}, api_base: http://u}}}}]\n"
    )
    assert lines(check(file), "warn") == []
    file.chmod(0o644)
    [told] = lines(check(file), "warn")
    assert told.startswith(f"secrets: server.metrics_key, upstreams.0.params.api_key: in {file} itself")


def test_secrets_are_the_fields_that_are_not_shown() -> None:
    config = load_config(
        None,
        {
            "server.metrics_key": KEY,
            "store.objects.options": {"endpoint": "http://s", "access_key_id": "k", "secret_access_key": "s"},
            "store.encryption_keys": ["A" * 43 + "="],
            "database.url": "postgresql+psycopg://kv:word@db/kv",
            "fleets": [{"name": "f", "model": "m", "replicas": [{"url": "http://a:1", "api_key": "r"}]}],
        },
    )
    assert [name for name, _ in config_findings.secrets_of(config)] == [
        "server.metrics_key",
        "store.encryption_keys.0",
        "store.objects.options.secret_access_key",
        "database.url",
        "fleets.0.replicas.0.api_key",
    ]
    assert list(config_findings.secrets_of(load_config(None, {"database.url": "sqlite:////x"}))) == []
    assert list(config_findings.secrets_of(Config())) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("server: {host: 0.0.0.0}", "access: anyone who reaches 0.0.0.0"),
        (f"server: {{metrics: false, metrics_key: {KEY}}}", "server.metrics_key: counts for nothing"),
        (
            f"server: {{metrics_key: {KEY}, api_keys: [{{name: a, key: {KEY}}}]}}",
            "server.metrics_key: is an API key too",
        ),
        (
            "fleets: [{name: f, model: m, replicas: ['http://a:1']}]\nengine: {audit: 0.1}",
            "engine: counts for nothing",
        ),
        ("billing: {currency: EUR}", "billing: counts for nothing: without a tariff"),
        ("payments: {methods: [kvbalance]}", "payments: takes money for nothing"),
        ("store: {objects: {acknowledge: objects}}", "store.objects: counts for nothing"),
        ("telemetry: {endpoint: 'http://collector:4318'}", "telemetry.endpoint: counts for nothing"),
        (f"telemetry: {{headers: {{authorization: {KEY}}}}}", "telemetry.endpoint: counts for nothing"),
    ],
)
def test_settings_that_contradict_each_other(file: Path, settings: str, told: str) -> None:
    file.write_text(f"{settings}\n")
    result = check(file)
    assert result.exit_code == 0
    assert [line for line in lines(result, "warn") if line.startswith(told)], result.stdout


def test_money_that_does_not_move(file: Path) -> None:
    tariff = Path(__file__).parents[2] / "examples" / "tariff.yaml"
    file.write_text(
        f"tariff: {tariff}\nhost: {{url: https://kv.example}}\n"
        f"payments: {{methods: [evm], facilitator: local, recipient: '0x{'a' * 40}'}}\n"
    )
    result = check(file)
    assert "payments.facilitator: local checks everything and moves no money" in result.stdout
    assert any(line.startswith("tariff: ") for line in lines(result, "ok"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("model: {path: /no/such/folder}", "model: /no/such/folder does not exist"),
        ("tariff: /no/such/tariff.yaml", "tariff: "),
        ("documents: {trusted_hosts: [{name: h, jwks: /no/such.json}]}", "trusted host: h: /no/such.json"),
        ("database: {url: 'mysql://u:hidden-0123456789@127.0.0.1/db'}", "database: "),
        ("database: {url: 'postgresql+psycopg://u:hidden-0123456789@127.0.0.1:1/db'}", "database: "),
    ],
)
def test_what_a_server_would_not_start_with(file: Path, settings: str, told: str) -> None:
    file.write_text(f"{settings}\n")
    result = check(file)
    assert result.exit_code == 2
    assert [line for line in lines(result, "fail") if line.startswith(told)], result.stdout


def test_a_package_that_is_not_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_findings, "find_spec", lambda name: None)
    file.write_text("store: {objects: {url: s3://b/p}}\n")
    [told] = lines(check(file), "fail")
    assert told == "packages: obstore is not installed; pip install 'kvproxy[objects]'"


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"])
def test_the_exporter_of_traces_that_is_not_there(
    file: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def find(name: str) -> object:
        if name == missing:
            raise ModuleNotFoundError(name)  # as for a module of a package that is missing
        return find_spec(name)

    monkeypatch.setattr(config_findings, "find_spec", find)
    file.write_text("telemetry: {traces: otlp}\n")
    assert lines(check(file), "fail") == [
        f"packages: {missing} is not installed; pip install 'kvproxy[otel]'"
    ]


def test_sessions_of_several_proxies(file: Path) -> None:
    file.write_text("database: {url: 'postgresql+psycopg://u@127.0.0.1:1/db'}\n")
    [told] = lines(check(file, "--offline"), "warn")
    assert told.startswith("dashboard.secret: is not set") and told.endswith("the same one")
    with file.open("a") as more:
        more.write(f"dashboard: {{secret: {KEY}}}\n")
    assert lines(check(file, "--offline"), "warn") == []


def test_a_port_that_another_program_has(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f"server: {{port: {port}}}\n")
        result = check(file)
    assert result.exit_code == 2
    assert [line for line in lines(result, "fail") if line.startswith(f"port: 127.0.0.1:{port}: ")]


def test_offline_the_database_is_not_asked(file: Path) -> None:
    file.write_text("database: {url: 'postgresql+psycopg://u@127.0.0.1:1/db'}\n")
    assert check(file, "--offline").exit_code == 0


def test_as_json(file: Path) -> None:
    told: dict[str, Any] = json.loads(check(file, "--json").stdout)
    assert told["starts"] is True
    assert {tuple(finding) for finding in told["findings"]} == {("level", "check", "what", "advice")}
    file.write_text("server: {port: x}\n")
    failed = check(file, "--json")
    assert failed.exit_code == 2 and json.loads(failed.stdout)["starts"] is False


def test_a_secret_whose_file_only_root_reads(file: Path) -> None:
    secret = file.parent / "alice"
    secret.write_text(KEY)
    secret.chmod(0)
    file.write_text(f"server: {{metrics_key: '${{file:{secret}}}'}}\n")
    result = check(file)
    assert result.exit_code == (0 if os.geteuid() == 0 else 2)
    assert KEY not in result.output
