from __future__ import annotations

from pathlib import Path

from kvproxy.bench.fleets.fleet_servers import ProxyPlan, proxy_config
from kvproxy.config import Config


def test_a_proxys_settings_are_valid_and_name_its_replicas(tmp_path: Path) -> None:
    plan = ProxyPlan(
        "smol", tmp_path, ["http://a:1", "http://b:2"], "postgresql+psycopg://x@y/z", {"isolation": "strict"}
    )
    config = Config.model_validate(proxy_config(plan, tmp_path))
    (fleet,) = config.fleets
    assert config.served_names == ("smol",)
    assert not config.serves_local
    assert [(one.shown_name, one.address) for one in fleet.replicas] == [
        ("replica-0", "http://a:1"),
        ("replica-1", "http://b:2"),
    ]
    assert fleet.isolation == "strict"
    assert config.database.address == "postgresql+psycopg://x@y/z"
