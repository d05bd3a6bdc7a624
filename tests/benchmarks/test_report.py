from __future__ import annotations

import json
import os

from benchmarks.client import result
from benchmarks.measure import QUICK
from benchmarks.memory import peak, rss, tree
from benchmarks.report import Crowd, Pair, Reads, Report, differs_at, from_json, machine
from benchmarks.table import tables

LATER = [Crowd(1, 1.6, 64, 90.0), Crowd(8, 4.0, 512, 140.0)]


def report() -> Report:
    return Report(
        name="one",
        title="One 1.0",
        cold="cache_salt",
        start_s=2.4,
        gap_ms=[10.0, 30.0, 20.0],
        tiny_ms=[5.0],
        reads={"255": Reads(255, [900.0, 1100.0], [80.0, 120.0], [0, None], [128, 128])},
        crowd_tokens=255,
        crowds=[Crowd(1, 2.0, 64, 100.0), Crowd(8, 9.0, 512, 150.0), *LATER],
        pairs=[Pair(200, None, None, True), Pair(200, 17, None, True), Pair(200, None, None, False)],
    )


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_where_texts_differ() -> None:
    assert differs_at("same", "same") is None
    assert differs_at("same", "sane") == 2
    assert differs_at("longer", "long") == 4
    assert differs_at("", "a") == 0


def test_json_and_back() -> None:
    assert from_json(json.loads(json.dumps(report().as_json()))) == report()


def test_tables() -> None:
    other = Report(name="two", cold="salt-line", reads={"7500": Reads(7500, [1.0], [1.0], [23], [None])})
    other.faults["readers"] = "out of time"
    text = tables(json.loads(json.dumps(result("small", QUICK, [report(), other]))))
    reading, crowds, others = [block for block in text.split("\n\n") if block.startswith("| server")]
    assert row(reading, "one") == ["one", "1,000 -> 100 (128)", "-"]
    assert row(reading, "two") == ["two", "-", "1 -> 1"]
    assert row(crowds, "one")[:4] == ["one", "2.00 / 1.60", "9.00 / 4.00", "2.50"]
    assert row(crowds, "one")[4:] == ["32.0 / 40.0", "56.9 / 128.0", "100 -> 150"]
    assert row(crowds, "two") == ["two", *["-"] * 6]
    assert row(others, "One 1.0") == ["One 1.0", "20.0", "5", "2", "2 of 3", "2 of 2", "`cache_salt`"]
    assert row(others, "two") == ["two", *["-"] * 5, "`salt-line`"]
    assert "- two, readers: out of time" in text
    assert "- two, 7500: a cold read took 23 tokens from a cache" in text
    assert machine()["cpu"] in text


async def test_memory_of_a_process_and_what_is_below_it() -> None:
    assert os.getpid() in {p.pid for p in tree(os.getpid())}
    async with peak(os.getpid()) as seen:
        held = bytearray(b"x") * (64 * 2**20)
        alone = rss(os.getpid())
        assert len(held) < alone
    assert seen.rss >= 64 * 2**20
    async with peak(None) as nothing:
        pass
    assert nothing.rss == 0
    assert tree(2**22 + 1) == []
