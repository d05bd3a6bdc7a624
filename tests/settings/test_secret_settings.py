"""Every secret may come from a file or from systemd, and no command, message or representation has its text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kvproxy.cli.app import app
from kvproxy.config import load_config
from tests.settings.secret_settings import LITERALS, WORD, secret_names, settings_with

SECRET = re.compile(rf"{WORD}[\w-]*|[A-Za-z0-9+/]{{43}}=")


def test_every_secret_has_an_example() -> None:
    assert sorted(secret_names()) == sorted(LITERALS)


def referenced(name: str, folder: Path, source: str) -> tuple[Path, list[str]]:
    """Write the configuration with each secret in a file of its own; return it and the secrets."""
    found: list[str] = []

    def put(match: re.Match[str]) -> str:
        found.append(match[0])
        secret = folder / f"secret-{len(found)}"
        secret.write_text(f"{match[0]}\n")
        secret.chmod(0o600)
        return f"${{credential:{secret.name}}}" if source == "credential" else f"${{file:{secret}}}"

    text = SECRET.sub(put, json.dumps({**settings_with(name)}))
    file = folder / "kvproxy.yaml"
    file.write_text(yaml.safe_dump(json.loads(text)))
    file.chmod(0o600)
    return file, found


def texts(value: Any) -> str:
    """Everything that stands in the settings, as a program reads them."""
    return json.dumps(value.model_dump(mode="json"))


@pytest.mark.parametrize("source", ["file", "credential"])
@pytest.mark.parametrize("name", LITERALS)
def test_each_may_come_from_a_file(
    name: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file, [secret] = referenced(name, tmp_path, source)
    config = load_config(file)
    assert secret in texts(config), "it is read"
    assert secret not in repr(config) and secret not in str(config)


@pytest.mark.parametrize("name", LITERALS)
@pytest.mark.parametrize("written", ["in a file", "out"])
def test_config_check_tells_none(name: str, written: str, tmp_path: Path) -> None:
    if written == "out":
        file, secrets = tmp_path / "kvproxy.yaml", SECRET.findall(json.dumps(settings_with(name)))
        file.write_text(yaml.safe_dump(settings_with(name)))
        file.chmod(0o644)
    else:
        file, secrets = referenced(name, tmp_path, "file")
    arguments = ["config", "check", "--config", str(file), "--store", str(tmp_path / "store")]
    for more in ([], ["--json"]):
        done = CliRunner().invoke(app, [*arguments, *more])
        assert done.exit_code in (0, 2) and "config" in done.output
        assert [secret for secret in secrets if secret in done.output] == []
    if written == "out":
        findings = json.loads(done.stdout)["findings"]
        assert [one for one in findings if one["check"] == "secrets" and "itself" in one["what"]]


@pytest.mark.parametrize("name", LITERALS)
def test_the_doctor_tells_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    settings = {**settings_with("fleets.dns.api_key"), **settings_with(name)}  # no model is computed here
    file = tmp_path / "kvproxy.yaml"
    file.write_text(yaml.safe_dump(settings))
    arguments = ["doctor", "--config", str(file), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, arguments)
    assert "access" in done.output and SECRET.findall(done.output) == []


@pytest.mark.parametrize("name", LITERALS)
def test_a_fault_beside_a_secret_does_not_quote_it(name: str, tmp_path: Path) -> None:
    file, [secret] = referenced(name, tmp_path, "file")
    wrong = file.read_text().replace("${file:", "x${file:") + "\nno_such_section: {}\n"
    for text in (wrong, f"{wrong}model: [\n"):
        file.write_text(text)
        done = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
        assert done.exit_code == 2 and secret not in done.output
