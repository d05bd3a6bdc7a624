"""Options that become settings."""

from __future__ import annotations

import pytest

from kvproxy.cli.options import fleet_of, read_config
from kvproxy.errors import SetupError


def test_replicas_on_the_command_line_are_one_fleet_without_a_local_model() -> None:
    fleets = fleet_of(["http://gpu-1:8000", "http://gpu-2:8000/v1"], "Qwen/Qwen3-32B")
    config = read_config(None, fleets=fleets, model__path=None)
    assert not config.serves_local and config.served_names == ("qwen3-32b",)
    assert config.fleets[0].model == "Qwen/Qwen3-32B"
    assert [replica.address for replica in config.fleets[0].replicas] == [
        "http://gpu-1:8000",
        "http://gpu-2:8000",
    ]


def test_without_replicas_there_is_no_fleet() -> None:
    assert fleet_of(None, "m") is None and fleet_of([], None) is None


def test_a_fleet_needs_a_tokenizer() -> None:
    with pytest.raises(SetupError, match="--fleet needs --model"):
        fleet_of(["http://gpu-1:8000"], None)


def test_what_only_an_engine_has_does_not_start_one_beside_a_fleet() -> None:
    with pytest.raises(SetupError, match="--dtype"):
        fleet_of(["http://gpu-1:8000"], "m", dtype="float32")
    config = read_config(None, fleets=fleet_of(["http://gpu-1:8000"], "m", audit=0.25))
    assert config.fleets[0].audit == 0.25 and not config.serves_local
