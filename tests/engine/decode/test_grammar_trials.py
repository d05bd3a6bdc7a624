"""No schema buys more work than its tenant may have, whatever becomes of who sent it."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from kvproxy.core import Caller, Constraint, JsonFormat
from kvproxy.engine.decode import compiled_grammars
from kvproxy.engine.decode.compiled_grammars import Grammars
from kvproxy.engine.decode.grammar_trials import attempt
from kvproxy.engine.decode.grammar_trials.attempt import Attempt
from kvproxy.engine.decode.grammar_trials.tenant_turns import PER_TENANT
from kvproxy.engine.decode.grammar_trials.trial_client import TrialClient
from kvproxy.engine.decode.llguidance_grammar import LlguidanceGrammar
from kvproxy.errors import KVProxyError, Unavailable, UnsupportedSchema
from kvproxy.wire.answer_formats.answer_grammar import grammar_of, schema_grammar
from tests.documents.models import write_model

ALICE = Caller("alice", "a")
BOB = Caller("bob", "b")
ENDLESS: dict[str, Any] = {"type": "integer", "multipleOf": 123456789}
EXPRESSIONS: dict[str, Any] = {
    "type": "object",
    "patternProperties": {f"^a{i}b.*c{i}$": {"type": "string"} for i in range(2000)},
    "additionalProperties": False,
}
CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("trials"), "qwen3")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "TRIAL_CPU_S", 0.3)
    monkeypatch.setattr(attempt, "ATTEMPT_CPU_S", 1.2)


@pytest.fixture
def grammars(folder: Path) -> Iterator[Grammars]:
    made = Grammars(folder, frozenset({0}), 3000, grammar_of)
    yield made
    made.close()


@pytest.fixture
async def patient(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Grammars]:
    """Trials that go on until they are ended."""
    monkeypatch.setattr(attempt, "TRIAL_CPU_S", 3600.0)
    monkeypatch.setattr(attempt, "ATTEMPT_CPU_S", 9999.0)
    made = Grammars(folder, frozenset({0}), 3000, grammar_of)
    await made.prepare()
    yield made
    made.close()


def wanted(schema: dict[str, Any], *, strict: bool = True) -> Constraint:
    return Constraint(format=JsonFormat(schema, strict=strict))


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


def chain(length: int) -> dict[str, Any]:
    links = {f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(length)}
    return {"$defs": {**links, f"d{length}": {"type": "string"}}, "$ref": "#/$defs/d0"}


HOSTILE: dict[str, dict[str, Any]] = {
    "multipleOf": ENDLESS,
    "multipleOf of decimals": {"type": "number", "multipleOf": 0.000123457},
    "multipleOf in a range": {"type": "integer", "multipleOf": 99991, "minimum": 0, "maximum": 10**12},
    "patternProperties": EXPRESSIONS,
    "enum": {"enum": [f"value {i * 7919}" for i in range(50_000)]},
    "nesting": nested(150),
    "references": chain(200),
    "a cycle": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "minItems": {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    "maxItems": {"type": "array", "items": {"type": "string"}, "maxItems": 10**9},
    "minLength": {"type": "string", "minLength": 10**9},
    "maxLength": {"type": "string", "maxLength": 10**9},
    "pattern": {"type": "string", "pattern": "^((a{1,1000}){1,1000}){1,1000}$"},
    "pattern and length": {"type": "string", "pattern": "^(.*a.{200}|.*b.{199})$", "maxLength": 10**6},
    "properties": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(3000)}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_refused_or_compiled_within_its_budget(grammars: Grammars, name: str) -> None:
    """Counted in this process's CPU time and its children's, so that a busy machine changes nothing."""
    grammars.tables()
    before = cpu_s()
    try:
        compiled = grammars.compile_now(wanted(HOSTILE[name]))
    except UnsupportedSchema as e:
        assert e.message.startswith("Invalid schema for ") and len(e.message) < 400
        assert e.param is not None
    else:
        with_masks(compiled)
    grammars.close()  # so that the child processes are counted
    assert cpu_s() - before < 1.2 + 0.3 + 2.0


def with_masks(compiled: LlguidanceGrammar) -> None:
    """Eight tokens, each the first that may follow."""
    state = compiled.start()
    for _ in range(8):
        logits = torch.zeros(3000)
        state.mask(logits)
        if state.done:
            return
        state.accept(int(torch.isfinite(logits).nonzero()[0]))


def cpu_s() -> float:
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


@pytest.mark.parametrize(("schema", "keyword"), [(ENDLESS, "multipleOf"), (EXPRESSIONS, "patternProperties")])
def test_what_takes_too_much_work_is_refused_by_its_keyword(
    grammars: Grammars, schema: dict[str, Any], keyword: str
) -> None:
    whole = {"type": "object", "properties": {"n": schema}, "required": ["n"], "additionalProperties": False}
    with pytest.raises(
        UnsupportedSchema, match=rf"'{keyword}' cannot be enforced \(compiling it takes more than"
    ):
        grammars.compile_now(wanted(whole))


def test_without_strict_the_rest_of_the_schema_is_enforced(grammars: Grammars) -> None:
    whole = {"type": "object", "properties": {"n": ENDLESS}, "required": ["n"], "additionalProperties": False}
    compiled = grammars.compile_now(wanted(whole, strict=False))
    assert [left.what for left in compiled.left_out] == ["multipleOf"]
    assert '"integer"' in compiled.text


def test_memory_and_the_stack_are_bounded_too(folder: Path) -> None:
    trials = TrialClient(folder, 3000, {0})
    try:
        deep = {"$defs": {f"d{i}": {"items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(20_000)}}
        text = schema_grammar({**deep, "$ref": "#/$defs/d0"})
        assert Attempt(trials).check(text) == "it refers too deeply to be compiled"
        # And the process goes on.
        assert Attempt(trials).check(schema_grammar(CITY)) is None
    finally:
        trials.close()


async def test_a_compilation_ends_with_the_last_request_that_wants_it(patient: Grammars) -> None:
    """Of two that share it the first one leaves it going."""
    one, two = (asyncio.create_task(patient.compile(wanted(ENDLESS), ALICE)) for _ in range(2))
    (running,) = await under_way(patient)
    one.cancel()
    await asyncio.sleep(0.05)
    assert not running.task.done()
    two.cancel()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(running.task, 60)
    assert patient._running == {}


async def test_a_tenants_compilations_wait_behind_its_own(patient: Grammars) -> None:
    hostile = [
        asyncio.create_task(patient.compile(wanted({**ENDLESS, "minimum": n}), ALICE))
        for n in range(PER_TENANT)
    ]
    await under_way(patient)
    behind = asyncio.create_task(patient.compile(wanted(CITY), ALICE))
    await patient.compile(wanted(CITY), BOB)
    assert not behind.done()
    for task in hostile:
        task.cancel()
    await asyncio.wait_for(behind, 60)


async def test_shutting_down_waits_for_no_compilation(patient: Grammars) -> None:
    """And leaves no process behind."""
    task = asyncio.create_task(patient.compile(wanted(ENDLESS), ALICE))
    await under_way(patient)
    children = await trials_of(patient)
    patient.close()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert [child for child in alive if child.status() != "zombie"] == []
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 60)
    with pytest.raises(Unavailable):
        await patient.compile(wanted(CITY), BOB)


async def test_a_process_that_died_is_started_again(patient: Grammars) -> None:
    task = asyncio.create_task(patient.compile(wanted(ENDLESS), ALICE))
    await under_way(patient)
    children = await trials_of(patient)
    process = patient._trials._process
    assert process is not None
    process.kill()
    for child in children:  # it holds the pipe, and has no limit of its own here
        child.kill()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 60)
    await patient.compile(wanted(CITY), ALICE)


async def trials_of(grammars: Grammars) -> list[psutil.Process]:
    """Return the processes that compile, once there is one."""
    server = grammars._trials._process
    assert server is not None
    async with asyncio.timeout(60):
        while not (children := psutil.Process(server.pid).children()):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    return children


async def under_way(grammars: Grammars) -> list[compiled_grammars._Running]:
    """Return the compilations under way, once each has a trial."""
    async with asyncio.timeout(60):
        while not grammars._running or any(  # noqa: ASYNC110 - it begins on another thread
            one.attempt._current is None for one in grammars._running.values()
        ):
            await asyncio.sleep(0.01)
    return list(grammars._running.values())


def test_an_answer_whose_masks_take_too_long_is_ended(
    grammars: Grammars, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = grammars.compile_now(wanted(CITY)).start()
    now = 0.0
    monkeypatch.setattr(time, "thread_time", lambda: now)

    def slow(logits: torch.Tensor) -> None:
        nonlocal now
        now += 1.0

    monkeypatch.setattr(state, "_mask", slow)
    state.mask(torch.zeros(3000))
    with pytest.raises(KVProxyError, match="takes too much time to enforce"):
        for _ in range(2):
            state.mask(torch.zeros(3000))
