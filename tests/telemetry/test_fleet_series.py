from __future__ import annotations

from kvproxy.core import Hit
from kvproxy.core.replica_choice import ReplicaChoice
from kvproxy.events import Started
from kvproxy.telemetry.fleet_series import COUNTS, FleetSeries, ReplicaSeries
from kvproxy.telemetry.metrics import Metrics

BUSY = ReplicaSeries("a:8000", True, 3, 1200, 850.5, 0.02, 1, {"device": 4096, "host": 512})
SILENT = ReplicaSeries("b:8000", False)
FLEET = FleetSeries(
    "qwen",
    (BUSY, SILENT),
    retries={"down": 2},
    counts={"overruled": 5},
    gauges={"warm_queue": 7, "resident_blocks": 4096},
    audits={"agree": 9, "differ": 1, "dropped": 0},
)


def lines(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def test_every_value_of_a_replica_has_its_series() -> None:
    metrics = Metrics()
    metrics.follow_fleets(lambda: [FLEET])
    found = lines(metrics)
    labels = '{fleet="qwen",replica="a:8000"}'
    for line in (
        f"kvproxy_replica_up{labels} 1.0",
        f"kvproxy_replica_running{labels} 3.0",
        f"kvproxy_replica_queued_tokens{labels} 1200.0",
        f"kvproxy_replica_prefill_tokens_per_second{labels} 850.5",
        f"kvproxy_replica_event_lag_seconds{labels} 0.02",
        f"kvproxy_replica_event_gaps_total{labels} 1.0",
        'kvproxy_replica_resident_tokens{fleet="qwen",replica="a:8000",tier="host"} 512.0',
        'kvproxy_replica_up{fleet="qwen",replica="b:8000"} 0.0',
        'kvproxy_fleet_retries_total{fleet="qwen",reason="down"} 2.0',
        'kvproxy_fleet_overruled_total{fleet="qwen"} 5.0',
        'kvproxy_fleet_warm_queue{fleet="qwen"} 7.0',
        'kvproxy_fleet_resident_blocks{fleet="qwen"} 4096.0',
        'kvproxy_fleet_audits_total{fleet="qwen",result="differ"} 1.0',
    ):
        assert line in found
    assert not any("event_lag" in line and "b:8000" in line for line in found), "unknown is not zero"
    assert all(any(line.startswith(f"kvproxy_fleet_{name}_total{{") for line in found) for name in COUNTS)


def test_a_replica_that_is_gone_has_no_series() -> None:
    fleets = [FLEET]
    metrics = Metrics()
    metrics.follow_fleets(lambda: fleets)
    assert any("b:8000" in line for line in lines(metrics))
    fleets[0] = FleetSeries("qwen", (BUSY,))
    assert not any("b:8000" in line for line in lines(metrics))


def test_answers_are_counted_by_replica() -> None:
    metrics = Metrics()
    choice = ReplicaChoice("a:8000", "handbook@3", 896, 128)
    for _ in range(2):
        started = Started(896, False, 0.0, 0.0, 0.0, confirmed=False, choice=choice)
        metrics.reply(Hit(896, None), started, 1003, 0.1, "qwen").close()
    metrics.reply(Hit(9, None), Started(9, False, 0.0, 0.0, 0.0), 10, 0.1, "local").close()
    found = [line for line in lines(metrics) if line.startswith("kvproxy_replica_answers_total")]
    assert found == ['kvproxy_replica_answers_total{fleet="qwen",replica="a:8000"} 2.0']


def test_answers_of_replicas_that_are_gone_have_no_series() -> None:
    """Names come from DNS: a fleet that is scaled up and down has new ones for ever."""
    metrics, fleets = Metrics(), [FLEET]
    metrics.follow_fleets(lambda: fleets)

    def answered(replica: str) -> None:
        started = Started(0, False, 0.0, 0.0, 0.0, confirmed=False, choice=ReplicaChoice(replica, "", 0, 128))
        metrics.reply(Hit(0, None), started, 10, 0.1, "qwen").close()

    def shown() -> list[str]:
        lines(metrics)
        return [line for line in lines(metrics) if line.startswith("kvproxy_replica_answers_total")]

    for replica in ("a:8000", "b:8000", "c:8000"):
        answered(replica)
    assert len(shown()) == 2, "one has left before it was counted"
    fleets[0] = FleetSeries("qwen", (BUSY,))
    assert shown() == ['kvproxy_replica_answers_total{fleet="qwen",replica="a:8000"} 1.0']
    fleets[0] = FLEET
    answered("b:8000")
    assert 'kvproxy_replica_answers_total{fleet="qwen",replica="b:8000"} 1.0' in shown()
