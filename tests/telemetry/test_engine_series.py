"""The engine's figures: counters and gauges by the words that each has."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from kvproxy.telemetry.engine_series import COUNTED, GAUGED, HELP, EngineCollector, Figures


def test_each_figure_is_a_counter_or_a_gauge() -> None:
    figures = Figures(
        running=1,
        waiting=2,
        pages={"free": 3},
        quarantined=0,
        audits={"failed": 1},
        counters=dict.fromkeys(COUNTED, 5),
        gauges=dict.fromkeys(GAUGED, 7),
    )
    registry = CollectorRegistry()
    registry.register(EngineCollector(lambda: figures))
    kinds = {family.name: family.type for family in registry.collect()}
    assert {kinds[f"kvproxy_{name}"] for name in COUNTED} == {"counter"}
    assert {kinds[f"kvproxy_{name}"] for name in GAUGED} == {"gauge"}
    assert not set(COUNTED) & set(GAUGED) and set(HELP) == {*COUNTED, *GAUGED}
    assert registry.get_sample_value("kvproxy_preemptions_total") == 5
    assert registry.get_sample_value("kvproxy_object_backlog") == 7
    assert registry.get_sample_value("kvproxy_audits_total", {"result": "failed"}) == 1
