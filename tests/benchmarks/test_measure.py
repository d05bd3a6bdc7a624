from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.chat import Answer, Endpoint, Refused
from benchmarks.client import TEXT, main, measure
from benchmarks.measure import Measurement, Plan
from benchmarks.prompts import Cold
from benchmarks.report import Report
from kvproxy.bench.server_process import Child, announced

SMALL = Plan(
    repeats={100: 2, 200: 1},
    tiny_repeats=1,
    tiny_tokens=4,
    crowd_prompt=150,
    crowd_tokens=4,
    crowd_rounds=1,
    readers=3,
    pairs=2,
    pair_prompt=120,
    pair_tokens=6,
    limit_s=60.0,
)


@dataclass
class Scripted:
    """An endpoint whose answer is a function of what it is asked; keeps what it was asked."""

    slow_s: float = 0.0
    fails_at: str = "nothing"
    forgetful: bool = False
    """Its warm answers are other ones."""
    asked: list[tuple[str, int, Mapping[str, Any]]] = field(default_factory=list)

    async def ask(self, text: str, max_tokens: int, fields: Mapping[str, Any], timeout_s: float) -> Answer:
        self.asked.append((text, max_tokens, fields))
        await asyncio.sleep(self.slow_s)
        if self.fails_at in text:
            raise Refused("no")
        said = "warm" if self.forgetful and fields.get("cache_prompt") else "answer"
        return Answer(said, 0.1, 0.4, 0.5, len(text.split()) + 3, max_tokens, 0)


def measurement(endpoint: Scripted, cold: Cold, plan: Plan = SMALL) -> Measurement:
    words = " ".join(f"w{i}" for i in range(500))
    return Measurement(
        endpoint=cast(Endpoint, endpoint),
        plan=plan,
        cold=cold,
        text=words,
        count=lambda text: len(text.split()),
        report=Report("scripted"),
    )


async def test_every_stage_and_the_salts() -> None:
    endpoint = Scripted()
    work = measurement(endpoint, Cold.CACHE_SALT)
    await work.run()
    report = work.report
    assert report.faults == {}
    assert report.tiny_ms == [100.0] and report.gap_ms == [pytest.approx(100.0)]
    # What the server counts beyond our own tokens (3) is in the size that was aimed at.
    assert {size: r.prompt_tokens for size, r in report.reads.items()} == {"100": 100, "200": 200}
    assert len(report.reads["100"].cold_ms) == len(report.reads["100"].warm_ms) == 2
    assert [(c.readers, c.tokens, c.rss_mb) for c in report.crowds] == [(1, 4, None), (3, 12, None)]
    assert [p.warm_differs_at for p in report.pairs] == [None, None]
    # A warm-up; then a reading is two requests with one salt and two questions, and the next has another salt.
    reads = [a for a in endpoint.asked if len(a[0].split()) == 97]
    salts = [fields["cache_salt"] for _, _, fields in reads]
    assert salts[1] == salts[2] and salts[3] == salts[4] and len(set(salts)) == 3
    assert reads[1][0] == reads[3][0] != reads[2][0] == reads[4][0]


async def test_answers_that_differ_are_found() -> None:
    endpoint = Scripted(forgetful=True)
    work = measurement(endpoint, Cold.NO_CACHE)
    await work.run()
    assert [(p.warm_differs_at, p.cold_differs_at) for p in work.report.pairs] == [(0, None)] * 2
    assert all(p.cold_asked_twice for p in work.report.pairs)


async def test_a_salted_prompt_is_not_compared_with_another_one() -> None:
    work = measurement(Scripted(), Cold.SALT_LINE)
    await work.run()
    assert [p.cold_asked_twice for p in work.report.pairs] == [False, False]


async def test_a_failure_stops_its_stage_only() -> None:
    work = measurement(Scripted(fails_at="w150 "), Cold.CACHE_SALT)
    await work.run()
    assert set(work.report.faults) == {"200"}
    assert "Refused: no" in work.report.faults["200"]
    assert work.report.reads["100"].cold_ms and work.report.crowds


async def test_time_runs_out() -> None:
    plan = replace(SMALL, limit_s=0.05)
    work = measurement(Scripted(slow_s=0.02), Cold.CACHE_SALT, plan)
    await work.run()
    assert set(work.report.faults.values()) == {"out of time"}
    assert "equality" in work.report.faults


async def test_one_who_does_not_answer_at_all(smollm2: Path) -> None:
    report = Report("nobody", cold="salt-line")
    await measure(report, url="http://127.0.0.1:9/v1", plan=SMALL, tokenizer=smollm2, text="text")
    assert "lists no model" in report.faults["all"]


def test_it_measures_the_proxy_over_a_fake_backend(
    tmp_path: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.client.QUICK", SMALL)
    url, out = tmp_path / "url", tmp_path / "out.json"
    command = (sys.executable, "-m", "kvproxy.bench.fake_server", str(smollm2), str(tmp_path), str(url))
    with Child("fake", command, announced(url), tmp_path) as server:
        assert server._process is not None
        options = [
            "--tokenizer",
            str(smollm2),
            "--cold",
            "cache_salt",
            "--pid",
            str(server._process.pid),
        ]
        main([f"{server.url}/v1", *options, "--text", str(TEXT), "--quick", "--json", str(out)])
    (found,) = json.loads(out.read_text())["servers"]
    assert found["faults"] == {}
    for size, reads in found["reads"].items():
        assert int(size) - 2 <= reads["prompt_tokens"] <= int(size)  # a character may be worth two tokens
        assert reads["cold_cached"] == [0] * len(reads["cold_cached"])
        assert min(reads["warm_cached"]) > int(size) - 60
    assert [p["warm_differs_at"] for p in found["pairs"]] == [None, None]
    assert all(c["rss_mb"] > 20 for c in found["crowds"])
    assert "2 of 2" in capsys.readouterr().out
