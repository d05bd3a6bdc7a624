"""Every fault of a configuration at once, and the configuration where there is none."""

from __future__ import annotations

from kvproxy.config import Config
from kvproxy.settings.all_faults import validated


def test_faults_behind_unknown_names() -> None:
    data = {
        "servr": {},
        "server": {"prot": 1, "hots": 2, "host": []},
        "documents": {"framings": [{"plaice": "system"}]},
    }
    config, faults = validated(Config, data)
    assert config is None and data["server"] == {"prot": 1, "hots": 2, "host": []}
    told = {".".join(map(str, place)): message for place, message in faults}
    assert told[""].startswith("unknown setting 'servr'; did you mean 'server'?")
    assert "'prot'; did you mean 'port'?; unknown setting 'hots'; did you mean 'host'?" in told["server"]
    assert {"server.host", "documents.framings.0"} <= set(told)
    assert len(faults) == len(set(faults)), "each is told once"


def test_without_a_fault_it_is_the_configuration() -> None:
    config, faults = validated(Config, {"server": {"port": 1}})
    assert config is not None and config.server.port == 1 and faults == []
