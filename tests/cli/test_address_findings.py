"""Findings about the replicas of fleets; those of upstreams and the hub stand in test_doctor.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvproxy.cli.address_findings import fleet_findings
from kvproxy.settings.fleet_settings import FleetSettings


@pytest.mark.parametrize(
    ("host", "level", "what"),
    [
        ("localhost", "ok", "localhost has"),
        ("nowhere.invalid", "fail", "nowhere.invalid: Name or service not known"),
    ],
)
def test_a_fleets_name_is_looked_up(tmp_path: Path, host: str, level: str, what: str) -> None:
    fleet = FleetSettings.model_validate(
        {"name": "far", "model": str(tmp_path / "none"), "dns": {"host": host}}
    )
    texts, name = fleet_findings(fleet, tmp_path)
    assert (texts.level, "no model folder" in texts.what) == ("fail", True)
    assert (name.level, name.what.startswith(what)) == (level, True)
