"""The process's own figures, and those of the service."""

from __future__ import annotations

import os
import time

from prometheus_client import CollectorRegistry

from kvproxy import __version__
from kvproxy.telemetry.process_figures import ProcessFigures
from kvproxy.telemetry.service_figures import ServiceCollector, ServiceFigures


def test_a_sample_is_of_this_process() -> None:
    registry, figures = CollectorRegistry(), ProcessFigures()
    registry.register(figures)
    assert registry.get_sample_value("process_resident_memory_bytes") is None, "nothing was sampled yet"
    figures.sample()
    value = registry.get_sample_value
    memory, fds = value("process_resident_memory_bytes"), value("process_open_fds")
    assert memory is not None and memory > 2**20
    assert fds is not None and 0 < fds <= len(os.listdir("/proc/self/fd")) + 5
    started = value("process_start_time_seconds")
    assert started is not None and 0 < time.time() - started < 7 * 86400
    assert (value("process_cpu_seconds_total") or 0) > 0
    names = {s.name: s.labels for family in registry.collect() for s in family.samples}
    assert names["kvproxy_build_info"]["version"] == __version__


def test_the_service_is_asked_at_each_scrape() -> None:
    states = iter([ServiceFigures(True, False, 0), ServiceFigures(False, True, 12)])
    registry = CollectorRegistry()
    registry.register(ServiceCollector(lambda: next(states)))
    seen = [{s.name: s.value for family in registry.collect() for s in family.samples} for _ in range(2)]
    assert seen[0] == {"kvproxy_ready": 1, "kvproxy_ledger_away": 0, "kvproxy_ledger_backlog": 0}
    assert seen[1] == {"kvproxy_ready": 0, "kvproxy_ledger_away": 1, "kvproxy_ledger_backlog": 12}
