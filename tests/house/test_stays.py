"""The tracer, on a made package whose way is known."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.house.stays import StayTracer, deepest_chain, stays

A = """
import asyncio
from made_way import b
def loop():
    for _ in range(3):
        b.work()
    return None
def passing():
    return b.passed()
def uses():
    b.passed()
    return None
def two_lines():
    b.work()
    b.work()
    return None
def reads():
    found = b.Thing().data + b.Thing().method()
    return found
def consumes():
    for _ in b.values():
        pass
async def waits():
    await b.rests()
    return 1
"""
B = """
import asyncio
from made_way import c
def work():
    c.leaf()
    return None
def passed():
    return c.leaf()
class Thing:
    @property
    def data(self): return 1
    def method(self): return 2
def values():
    yield 1
    c.leaf()
    yield 2
async def rests():
    await asyncio.sleep(0)
    c.leaf()
    await asyncio.sleep(0)
    return None
"""
C = "def leaf(): return 1\n"


@pytest.fixture
def a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    package = tmp_path / "made_way"
    package.mkdir()
    for name, text in (("__init__", ""), ("a", A), ("b", B), ("c", C)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_way.a")
    for name in [name for name in sys.modules if name.split(".")[0] == "made_way"]:
        del sys.modules[name]


def way(tracer: StayTracer) -> str:
    """Letters of the modules, one for each stay, of the only lane."""
    (lane,) = tracer.lanes.values()
    return "".join(stay.module[-1] for stay in stays(lane, lane.moves))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("loop", "abcba"),  # read once
        ("passing", "abc"),  # each passes on what it was returned
        ("uses", "abca"),
        ("two_lines", "abcbaba"),  # another call of b, but what b calls was seen
        ("reads", "aba"),  # the property is no stay
        ("consumes", "ababcba"),  # a loop, but with something new in its second round
    ],
)
def test_the_way_of_a_function(a: ModuleType, function: str, expected: str) -> None:
    with StayTracer("made_way").running() as tracer:
        getattr(a, function)()
    assert way(tracer) == expected


def test_a_rest_in_an_await_is_no_move(a: ModuleType) -> None:
    async def main() -> None:
        with tracer.running():
            await asyncio.gather(a.waits(), a.waits())

    tracer = StayTracer("made_way")
    asyncio.run(main())
    assert ["".join(s.module[-1] for s in stays(lane, lane.moves)) for lane in tracer.lanes.values()] == [
        "abcba"
    ] * 2


def test_a_thread_has_its_own_lane(a: ModuleType) -> None:
    with StayTracer("made_way").running() as tracer:
        thread = threading.Thread(target=a.passing, name="other")
        thread.start()
        thread.join()
    assert [lane.name for lane in tracer.lanes.values()] == ["thread other"]
    assert way(tracer) == "abc"
    (lane,) = tracer.lanes.values()
    chain = [("made_way.a", "passing"), ("made_way.b", "passed"), ("made_way.c", "leaf")]
    assert deepest_chain(lane, lane.moves) == chain
