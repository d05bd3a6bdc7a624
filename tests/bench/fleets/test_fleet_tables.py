from __future__ import annotations

from typing import Any

import pytest

from kvproxy.bench.fleets.fleet_tables import print_fleet

MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11"}
RATIO = {"hit_rate": None, "ttft_p50": 1.0, "ttft_p99": 1.0}
ROW: dict[str, Any] = {
    "policy": "round robin",
    "hit_rate": 0.0,
    "of_best_possible": 0.0,
    "of_round_robin": RATIO,
    "ttft_ms": {"p50": 100.0, "p99": 2000.0},
    "whole_ms": {"p50": 200.0, "p99": 3000.0},
    "requests_per_s": 2.5,
}


def test_nothing_is_a_multiple_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    trace = {
        "requests": 10,
        "documents": 3,
        "document_tokens": {"least": 10, "median": 20, "most": 40, "all": 512},
        "zipf": 0.8,
        "open_sessions": 4,
        "session_requests": 5.0,
        "stay": 0.6,
        "question_words": [8, 24],
        "answer_tokens": 4,
        "seed": 7,
    }
    replicas = [{"blocks": 16, "block_tokens": 16}] * 2
    result = {"machine": MACHINE, "trace": trace, "replicas": replicas, "at_once": 4}
    print_fleet({**result, "best_possible_hit_rate": 0.5, "policies": [ROW]})
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if "round robin" in line and "0.0%" in line)
    assert "-" in line and "2,000" in line
    assert "2.00 times what one replica holds" in printed
    assert "seed 7" in printed
