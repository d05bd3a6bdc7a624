from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from kvproxy.core import Hit, Miss, MissCause, MissReason
from kvproxy.events import Finished, Started, TextDelta, Usage
from kvproxy.telemetry.metrics import Figures, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return the samples by name and label values."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def started(cached: int, *, collapsed: bool = False, parsed: bool = False) -> Started:
    return Started(cached, collapsed, queue_s=0.0, load_s=0.0, prefill_s=0.0, parsed=parsed)


def test_replies_are_counted_when_they_end() -> None:
    metrics = Metrics()
    meter = metrics.reply(Hit(900, None), started(900), 1000, 0.3)
    meter.event(0, TextDelta("a", 2))
    meter.event(1, TextDelta("b", 1))
    assert samples(metrics)["kvproxy_generation_tokens_total", ""] == 0
    meter.event(0, Finished("stop", Usage(1000, 5, 900)))
    meter.close()
    meter.close()
    got = samples(metrics)
    assert got["kvproxy_generation_tokens_total", ""] == 6, "one choice ended, the other was left"
    assert got["kvproxy_prompt_tokens_total", "cached"] == 900
    assert got["kvproxy_prompt_tokens_total", "prefilled"] == 100
    assert got["kvproxy_hits_total", "hit"] == 1 and got["kvproxy_hits_total", "collapsed"] == 0
    assert got["kvproxy_time_to_first_token_seconds_count", "hit"] == 1
    assert got["kvproxy_time_to_first_token_seconds_bucket", "hit,0.25"] == 0
    assert got["kvproxy_time_to_first_token_seconds_bucket", "hit,0.5"] == 1


def test_misses_by_reason_and_upstreams_apart() -> None:
    metrics = Metrics()
    quarantined = Miss(MissReason.QUARANTINED, cause=MissCause.QUARANTINED)
    dated = Miss(MissReason.NO_DOCUMENT, cause=MissCause.TIMESTAMP)
    for miss, parsed, tokens in ((quarantined, False, 50), (dated, True, 70)):
        metrics.reply(miss, started(0, parsed=parsed), tokens, 0.1).close()
        metrics.missed(miss)
    metrics.missed(Miss(MissReason.NO_DOCUMENT))
    metrics.reply(Hit(9, None), started(9, collapsed=True), 10, 0.1).close()
    got = samples(metrics)
    misses = {name[1]: value for name, value in got.items() if name[0] == "kvproxy_misses_total"}
    assert misses["quarantined,quarantined"] == misses["timestamp,no-document"] == 1
    assert misses["unknown,no-document"] == 1, "one that was not compared"
    assert misses["engine-failed,engine-failed"] == 0, "what never happened is told as 0"
    assert sum(misses.values()) == 3
    assert got["kvproxy_prompt_tokens_total", "upstream"] == 70
    assert got["kvproxy_prompt_tokens_total", "prefilled"] == 51
    assert got["kvproxy_hits_total", "collapsed"] == 1


def test_the_engine_is_asked_at_each_scrape() -> None:
    metrics, other, asked = Metrics(), Metrics(), 0

    def figures() -> Figures:
        nonlocal asked
        asked += 1
        return Figures(
            running=2,
            waiting=1,
            pages={"free": 3, "used": 4, "evictable": 5},
            quarantined=1,
            audits={"passed": 6, "failed": 1, "dropped": 0},
            counters={"spec_decode_draft_tokens": 8},
            gauges={"spilled_pages": 7},
        )

    metrics.follow(figures)
    assert asked == 0
    got = samples(metrics)
    assert asked == 1
    assert got["kvproxy_num_requests_running", ""] == 2 and got["kvproxy_num_requests_waiting", ""] == 1
    assert [got["kvproxy_kv_pages", state] for state in ("free", "used", "evictable")] == [3, 4, 5]
    assert got["kvproxy_audits_total", "passed"] == 6 and got["kvproxy_quarantined_documents", ""] == 1
    assert got["kvproxy_spec_decode_draft_tokens_total", ""] == 8 and got["kvproxy_spilled_pages", ""] == 7
    assert ("kvproxy_kv_pages", "free") not in samples(other), "registries are not shared"
