"""`ProcessFigures`: build and process of a server as Prometheus' client libraries name them."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from kvproxy import __version__

_GAUGES = {
    "process_start_time_seconds": "Start time of the process, in Unix seconds",
    "process_resident_memory_bytes": "Resident memory of the process",
    "process_virtual_memory_bytes": "Virtual memory of the process",
    "process_open_fds": "Open file descriptors",
    "process_max_fds": "The most file descriptors that may be open",
    "process_threads": "Threads of the process",
}


class ProcessFigures(Collector):
    """Shows the latest sample. Sampling reads files of the system, so it has no place on an event loop.

    Example: ``figures = ProcessFigures(); figures.sample(); registry.register(figures)``
    """

    def __init__(self) -> None:
        self._cpu_s = 0.0
        self._gauges: dict[str, float] = {}

    def sample(self) -> None:
        """Read the figures as they are now. Blocks for less than a millisecond."""
        process = psutil.Process()
        with process.oneshot():
            times, memory = process.cpu_times(), process.memory_info()
            self._cpu_s = times.user + times.system
            self._gauges = {
                "process_start_time_seconds": process.create_time(),
                "process_resident_memory_bytes": memory.rss,
                "process_virtual_memory_bytes": memory.vms,
                "process_threads": process.num_threads(),
            }
            if psutil.LINUX:
                self._gauges["process_open_fds"] = process.num_fds()
                self._gauges["process_max_fds"] = process.rlimit(psutil.RLIMIT_NOFILE)[0]

    def describe(self) -> list[Metric]:
        """Return no names, so that registration samples nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the build, and the latest sample where there is one."""
        yield InfoMetricFamily(
            "kvproxy_build",
            "The version of kvproxy, and of the Python that runs it",
            {"version": __version__, "python": platform.python_version()},
        )
        if not self._gauges:
            return
        yield CounterMetricFamily(
            "process_cpu_seconds", "User and system time of the process, in seconds", self._cpu_s
        )
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(name, _GAUGES[name], value)
