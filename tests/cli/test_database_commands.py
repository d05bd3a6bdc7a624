"""``kvproxy migrate`` and ``kvproxy config check``."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from kvproxy.cli.app import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_migrating_and_checking_the_configuration(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    checked = run("config", "check", "--store", store)
    assert checked.exit_code == 0 and "is made when the server starts" in checked.stdout
    assert not (tmp_path / "store").exists()
    assert "migrated from nothing to" in run("migrate", "--store", store).stdout
    assert "nothing to do" in run("migrate", "--store", store).stdout
    assert "kvproxy.sqlite3 has schema" in run("config", "check", "--store", store).stdout
    config = tmp_path / "config.yaml"
    config.write_text(f"database: {{url: 'sqlite:///{tmp_path}/other.sqlite3'}}\n")
    checked = run("config", "check", "--config", str(config))
    assert checked.exit_code == 0 and "is made when the server starts" in checked.stdout
    assert not (tmp_path / "other.sqlite3").exists()
