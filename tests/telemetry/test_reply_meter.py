from __future__ import annotations

import pytest

from kvproxy.core import DocumentRef, Hit
from kvproxy.events import Finished, Started, TextDelta, Usage
from kvproxy.telemetry.metrics import Metrics


def begun(cached: int, *, confirmed: bool = False) -> Started:
    return Started(cached, False, 0.0, 0.0, 0.0, confirmed=confirmed)


def counted(metrics: Metrics, name: str, label: str) -> float:
    line = f"kvproxy_{name}_total{{{label}}} "
    lines = metrics.text().decode().splitlines()
    return next(float(found.removeprefix(line)) for found in lines if found.startswith(line))


@pytest.mark.parametrize(
    ("expected", "reported", "cached", "verdict"),
    [
        (896, 896, 896, "equal"),
        (896, 0, 0, "fewer"),
        (0, 896, 896, "more"),
        (0, 5000, 1003, "more"),
        (8, -1, 0, "fewer"),
    ],
)
def test_a_fleets_prompt_is_counted_as_its_replica_reports(
    expected: int, reported: int, cached: int, verdict: str
) -> None:
    metrics = Metrics()
    meter = metrics.reply(Hit(expected, DocumentRef("x", 1)), begun(expected), 1003, 0.1)
    meter.event(0, TextDelta("a"))
    meter.event(0, Finished("stop", Usage(1003, 1, reported)))
    meter.event(1, Finished("stop", Usage(1003, 1, 64)))
    meter.close()
    assert counted(metrics, "prompt_tokens", 'source="cached"') == cached
    assert counted(metrics, "prompt_tokens", 'source="prefilled"') == 1003 - cached
    assert counted(metrics, "fleet_expectations", f'reported="{verdict}"') == 1


def test_a_replica_that_tells_no_number_has_not_told_of_fewer() -> None:
    metrics = Metrics()
    meter = metrics.reply(Hit(896, None), begun(896), 1003, 0.1)
    meter.event(0, Finished("stop", Usage(1003, 1, 0, reported=False)))
    meter.close()
    assert counted(metrics, "prompt_tokens", 'source="prefilled"') == 1003, "as it is billed"
    assert counted(metrics, "fleet_expectations", 'reported="unreported"') == 1
    assert counted(metrics, "fleet_expectations", 'reported="fewer"') == 0


def test_what_a_client_left_before_the_report_is_unconfirmed() -> None:
    metrics = Metrics()
    meter = metrics.reply(Hit(896, None), begun(896), 1003, 0.1)
    meter.close()
    meter.close()
    assert counted(metrics, "prompt_tokens", 'source="unconfirmed"') == 896
    assert counted(metrics, "prompt_tokens", 'source="prefilled"') == 107
    assert counted(metrics, "prompt_tokens", 'source="cached"') == 0
    assert counted(metrics, "fleet_expectations", 'reported="unreported"') == 1


def test_an_engine_of_this_process_is_believed_at_once() -> None:
    metrics = Metrics()
    metrics.reply(Hit(896, None), begun(896, confirmed=True), 1003, 0.1).close()
    assert counted(metrics, "prompt_tokens", 'source="cached"') == 896
    assert counted(metrics, "fleet_expectations", 'reported="unreported"') == 0


def test_seconds_for_each_token_behind_the_first() -> None:
    metrics = Metrics()
    meter = metrics.reply(Hit(512, None), begun(512, confirmed=True), 600, 0.1)
    before = meter.token_s
    meter.event(0, TextDelta("a", 1))
    meter.event(1, TextDelta("b", 1))
    meter.event(1, Finished("stop", Usage(600, 5, 512)))
    meter.event(0, Finished("stop", Usage(600, 1, 512)))
    meter.close()
    assert before is None and meter.ended_at is not None and meter.token_s is not None
    longer = (meter.ended_at - meter._began) / 4
    assert 0 < meter.token_s == pytest.approx(longer), "of the longest choice"
    for tokens, parsed in ((1, False), (9, True)):
        short = metrics.reply(Hit(1, None), Started(1, False, 0, 0, 0, parsed=parsed), 600, 0.1)
        short.event(0, TextDelta("a", tokens))
        short.close()
        assert short.token_s is None
    assert "kvproxy_time_per_output_token_seconds_count 1.0" in metrics.text().decode()
